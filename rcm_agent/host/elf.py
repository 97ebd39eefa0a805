"""Whether a file is a program that this host can run, from its ELF headers alone.

Called by `store` on a file that nobody can execute yet. Source: elf(5) and the System V gABI.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from rcm_agent.host import reading, terms

_IDENT = b"\x7fELF\x02\x01"
"""64-bit, little endian."""
_MACHINES = {62: "amd64", 183: "arm64", 3: "i386", 40: "arm", 243: "riscv64", 22: "s390x"}
_ET_EXEC, _ET_DYN = 2, 3
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_FLAGS_1, _DF_1_PIE = 0x6FFFFFFB, 0x08000000
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_DYNAMIC = struct.Struct("<qQ")
MAX_SEGMENTS = 128
"""A guess; programs have about ten."""
_MAX_INTERPRETER_BYTES = 4096
"""PATH_MAX."""
_MAX_DYNAMIC_BYTES = 64 * 1024
"""A guess; 4,096 entries, programs have about thirty."""


class BadElf(Exception):  # noqa: N818 - never leaves `rcm_agent.host`
    """Why the file cannot run here."""


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    size: int


def check(file: reading.File, *, machine: terms.Machine) -> str:
    """Return the program's interpreter (a path, not looked at), empty when it needs none.

    Raises:
        BadElf: it is not a whole, executable program for this machine.
    """
    size = file.seek(0, 2)
    head = _at(file, 0, _HEADER.size)
    if not head.startswith(b"\x7fELF") or len(head) < _HEADER.size:
        raise BadElf("it is not an ELF program")
    if not head.startswith(_IDENT):
        raise BadElf("it is not a 64-bit little-endian ELF program")
    _, kind, number, _, entry, table, _, _, _, each, count, *_ = _HEADER.unpack(head)
    found = _MACHINES.get(number, f"machine {number}")
    if found != machine:
        raise BadElf(f"it is for {found}, and this host is {machine}")
    segments = _segments(file, table, each=each, count=count)
    _check_whole(segments, size)
    interpreter = _interpreter(file, segments)
    is_pie = kind == _ET_DYN and bool(interpreter or _says_pie(file, segments))
    if not entry or not (kind == _ET_EXEC or is_pie):
        raise BadElf("it is a library or an object file, not a program")
    return interpreter


def _segments(file: reading.File, table: int, *, each: int, count: int) -> tuple[_Segment, ...]:
    if each != _SEGMENT.size or not 0 < count <= MAX_SEGMENTS:
        raise BadElf("it has a broken program header")
    data = _at(file, table, each * count)
    if len(data) != each * count:
        raise BadElf("it is cut off")
    return tuple(_Segment(row[0], row[2], row[5]) for row in _SEGMENT.iter_unpack(data))


def _check_whole(segments: tuple[_Segment, ...], size: int) -> None:
    if not any(segment.kind == _PT_LOAD for segment in segments):
        raise BadElf("it has nothing to load")
    if any(segment.offset + segment.size > size for segment in segments if segment.size):
        raise BadElf("it is cut off")


def _interpreter(file: reading.File, segments: tuple[_Segment, ...]) -> str:
    found = next((segment for segment in segments if segment.kind == _PT_INTERP), None)
    if found is None:
        return ""
    data = _at(file, found.offset, min(found.size, _MAX_INTERPRETER_BYTES + 1))
    path, end, _ = data.partition(b"\0")
    if (
        not end
        or not path.startswith(b"/")
        or not path.isascii()
        or not path.decode().isprintable()
    ):
        raise BadElf("it names an interpreter that cannot be")
    return path.decode()


def _says_pie(file: reading.File, segments: tuple[_Segment, ...]) -> bool:
    """A static program at any address differs from a library by this flag alone."""
    return any(
        tag == _DT_FLAGS_1 and value & _DF_1_PIE
        for segment in segments
        if segment.kind == _PT_DYNAMIC
        for tag, value in _dynamic(file, segment)
    )


def _dynamic(file: reading.File, segment: _Segment) -> Iterator[tuple[int, int]]:
    data = _at(file, segment.offset, min(segment.size, _MAX_DYNAMIC_BYTES))
    whole = len(data) - len(data) % _DYNAMIC.size
    for tag, value in _DYNAMIC.iter_unpack(data[:whole]):
        if tag == 0:
            return
        yield tag, value


def _at(file: reading.File, offset: int, count: int) -> bytes:
    try:
        file.seek(offset)
    except (OSError, OverflowError, ValueError) as error:
        raise BadElf("it has a broken program header") from error
    return file.read(count) or b""
