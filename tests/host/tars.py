"""Archives for tests, good and hostile: written field by field, so that any of them can lie."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Mapping

import zstandard

BLOCK = 512


def entry(
    name: str | bytes,
    data: bytes = b"",
    *,
    mode: int = 0o755,
    kind: bytes = b"0",
    link: str = "",
    size: int | None = None,
    magic: bytes = b"ustar\x0000",
) -> bytes:
    """Return a header and its data; `size` is what the header says."""
    raw = name.encode() if isinstance(name, str) else name
    said = len(data) if size is None else size
    length = b"%011o\0" % said if said < 8**11 else b"\x80" + said.to_bytes(11, "big")
    head = (
        raw[:100].ljust(100, b"\0")
        + b"%07o\0" % mode
        + b"0000000\0" * 2
        + length
        + b"00000000000\0"
        + b" " * 8
        + kind
        + link.encode().ljust(100, b"\0")
        + magic
    ).ljust(BLOCK, b"\0")
    checked = head[:148] + b"%06o\0 " % sum(head) + head[156:]
    return checked + data + bytes(-len(data) % BLOCK)


def pax(records: Mapping[str, str | bytes], *, kind: bytes = b"x") -> bytes:
    """Return a PAX header for the next entry (`x`) or all that follow (`g`)."""
    return entry("PaxHeaders/x", b"".join(map(_record, records.items())), kind=kind, mode=0o644)


def _record(item: tuple[str, str | bytes]) -> bytes:
    key, value = item
    body = (
        b" " + key.encode() + b"=" + (value.encode() if isinstance(value, str) else value) + b"\n"
    )
    length = len(body)
    while length != len(body) + len(str(length)):
        length = len(body) + len(str(length))
    return str(length).encode() + body


def gnu_name(name: str | bytes) -> bytes:
    """Return GNU's long name for the next entry."""
    raw = name.encode() if isinstance(name, str) else name
    return entry("././@LongLink", raw + b"\0", kind=b"L", magic=b"ustar  \0")


def tar(*entries: bytes) -> bytes:
    """Return a whole archive."""
    return b"".join(entries) + bytes(2 * BLOCK)


def gz(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def xz(data: bytes) -> bytes:
    return lzma.compress(data)


def zst(data: bytes) -> bytes:
    return zstandard.compress(data)


def zip_of(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("containerd-shim-x", data)
    return buffer.getvalue()


def bz(data: bytes) -> bytes:
    return bz2.compress(data)
