"""Which files pass for a program of this host."""

from __future__ import annotations

import io
import struct

import pytest

from rcm_agent.host import elf
from tests.fakes import shims

LOAD, DYNAMIC, INTERP = 1, 2, 3
LOADER = b"/lib64/ld-linux-x86-64.so.2\0"
FLAG_PIE = struct.pack("<qQqQ", 0x6FFFFFFB, 0x08000000, 0, 0)
FLAG_OTHER = struct.pack("<qQqQ", 0x6FFFFFFB, 1, 0, 0)
NO_FLAG = struct.pack("<qQ", 0, 0)


def program(*segments, kind=2, number=62, ident=b"\x7fELF\x02\x01\x01", entry=0x400078, **lies):
    """Return an ELF file: a loaded segment, then (kind, content) pairs; `lies` for its header."""
    parts = [(LOAD, b"code"), *segments]
    table, offset, body = b"", 64 + 56 * len(parts), b""
    for each, content in parts:
        table += struct.pack("<IIQQQQQQ", each, 5, offset + len(body), 0, 0, len(content), 0, 0)
        body += content
    count, size, at = lies.get("count", len(parts)), lies.get("size", 56), lies.get("at", 64)
    head = struct.pack(
        "<16sHHIQQQIHHHHHH",
        ident.ljust(16, b"\0"), kind, number, 1, entry, at, 0, 0, 64, size, count, 64, 0, 0,
    )  # fmt: skip
    return head + table + body


def check(data, machine="amd64"):
    return elf.check(io.BytesIO(data), machine=machine)


@pytest.mark.parametrize(
    ("data", "interpreter"),
    [
        pytest.param(program(), "", id="static"),
        pytest.param(program((INTERP, LOADER)), LOADER[:-1].decode(), id="dynamic"),
        pytest.param(program((INTERP, LOADER), kind=3), LOADER[:-1].decode(), id="dynamic PIE"),
        pytest.param(program((DYNAMIC, FLAG_PIE), kind=3), "", id="static PIE"),
        pytest.param(shims.binary(), "", id="the simulated hosts' shim"),
    ],
)
def test_a_program_passes(data, interpreter):
    assert check(data) == interpreter


def test_each_machine_takes_its_own():
    assert not check(program(number=183), "arm64")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "not an ELF program", id="empty"),
        pytest.param(b"MZ" + bytes(100), "not an ELF program", id="Windows"),
        pytest.param(program()[:40], "not an ELF program", id="half a header"),
        pytest.param(program(ident=b"\x7fELF\x01\x01"), "64-bit", id="32-bit"),
        pytest.param(program(ident=b"\x7fELF\x02\x02"), "little-endian", id="big-endian"),
        pytest.param(program(number=183), "for arm64, and this host is amd64", id="arm64"),
        pytest.param(program(number=3), "for i386", id="i386"),
        pytest.param(program(number=243), "for riscv64", id="riscv64"),
        pytest.param(program(number=4242), "for machine 4242", id="unheard of"),
        pytest.param(program(kind=3), "a library", id="library"),
        pytest.param(program((DYNAMIC, FLAG_OTHER), kind=3), "a library", id="other flags"),
        pytest.param(program((DYNAMIC, NO_FLAG), kind=3), "a library", id="no flags"),
        pytest.param(program(kind=1), "an object file", id="object file"),
        pytest.param(program(kind=4), "an object file", id="core dump"),
        pytest.param(program(entry=0), "not a program", id="no entry"),
        pytest.param(program(count=0), "broken program header", id="no segments"),
        pytest.param(program(count=65535), "broken program header", id="too many segments"),
        pytest.param(program(size=32), "broken program header", id="segments of another size"),
        pytest.param(program(at=1 << 62), "cut off", id="segments beyond the end"),
        pytest.param(program(at=(1 << 64) - 1), "broken program header", id="segments nowhere"),
        pytest.param(program()[:-1], "cut off", id="truncated"),
        pytest.param(program((INTERP, b"ld.so\0")), "an interpreter that cannot", id="relative"),
        pytest.param(program((INTERP, b"/ld.so")), "an interpreter that cannot", id="no NUL"),
        pytest.param(program((INTERP, b"/a\nb\0")), "an interpreter that cannot", id="newline"),
        pytest.param(program((INTERP, b"/" * 5000)), "an interpreter that cannot", id="long"),
    ],
)
def test_anything_else_does_not(data, words):
    with pytest.raises(elf.BadElf, match=words):
        check(data)


def test_a_file_with_nothing_to_load_is_none():
    data = bytearray(program())
    data[64:68] = struct.pack("<I", 4)

    with pytest.raises(elf.BadElf, match="nothing to load"):
        check(bytes(data))
