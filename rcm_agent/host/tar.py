"""Reading tar headers from a stream, strictly, and nothing larger than a header into memory.

Called by `archive`, with a stream that already caps what it gives. Reads ustar, GNU and PAX.

Not Python's `tarfile`: before 3.11.14 a hostile header makes it loop for ever (CVE-2025-8194) or
backtrack for minutes (CVE-2024-6232); every version reads long names and PAX records of any size
into memory, keeps all members, and takes a broken header for the end of the archive.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, Protocol

BLOCK = 512
MAX_RECORD_BYTES = 64 * 1024
"""Of a long name or a PAX header. A guess: a path has at most 4,096 bytes on Linux."""
MAX_NAME_BYTES = 255
"""NAME_MAX of every Linux file system, per part."""
MAX_PATH_BYTES = 4096
"""PATH_MAX of Linux."""
_PLAIN_NAME_BYTES = 100
"""What the header's own field holds (POSIX ustar)."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_DIGITS = 18
"""Of a decimal number that fits 64 bits."""

Kind = Literal["file", "dir", "symbolic link", "hard link", "device", "fifo"]

_KINDS: dict[bytes, Kind] = {
    b"\0": "file",
    b"0": "file",
    b"7": "file",
    b"1": "hard link",
    b"2": "symbolic link",
    b"3": "device",
    b"4": "device",
    b"5": "dir",
    b"6": "fifo",
}


class BadTar(Exception):  # noqa: N818 - never leaves `rcm_agent.host`
    """What is wrong with the archive."""


class Stream(Protocol):
    """What comes out of a decompressor."""

    def take(self, count: int) -> bytes:
        """Return exactly `count` bytes, fewer only at the end."""
        ...

    def skip(self, count: int) -> None:
        """Leave out `count` bytes, or what is left."""
        ...


@dataclass(frozen=True, slots=True)
class Member:
    """One entry. Its content is next in the stream."""

    name: str
    """Without leading `./` and trailing `/`."""
    kind: Kind
    size: int
    executable: bool


@dataclass(frozen=True, slots=True)
class _Override:
    """What the headers before an entry say about it."""

    name: bytes | None = None
    size: int | None = None
    pax_name: bytes | None = None


def members(stream: Stream, *, max_entries: int) -> Iterator[Member]:
    """Yield the entries; whoever does not `take` an entry's whole content calls `skip` for it.

    Raises:
        BadTar: the archive is broken, or holds what no shim needs.
    """
    override = _Override()
    for _ in range(max_entries):
        header = stream.take(BLOCK)
        if not header or header == bytes(BLOCK):
            return
        _check_header(header)
        size = _number(header[124:136])
        letter = header[156:157]
        if letter in b"LKxgX":
            override = _apply(override, letter, _record(stream, size))
            continue
        yield _member(header, letter, size, override)
        override = _Override()
    raise BadTar(f"it has more than {max_entries} entries")


def padding(size: int) -> int:
    """Return how many bytes fill an entry's last block."""
    return -size % BLOCK


def _member(header: bytes, letter: bytes, size: int, override: _Override) -> Member:
    kind = _KINDS.get(letter)
    if kind is None:
        what = "a sparse file" if letter == b"S" else f"an entry of the type {letter!r}"
        raise BadTar(f"it holds {what}")
    plain = _plain_name(header)
    raw = _name_of(plain, override)
    if kind == "file" and raw.endswith(b"/"):  # before POSIX, directories looked like this
        kind = "dir"
    if override.size is not None and override.size != size:
        raise BadTar("a PAX header gives an entry another size than its own header does")
    mode = _number(header[100:108])
    content = size if kind == "file" else 0
    return Member(_clean(raw), kind, content, executable=bool(mode & 0o111))


def _name_of(plain: bytes, override: _Override) -> bytes:
    """Refuse a PAX name without need: two readers would see two archives."""
    name = override.pax_name
    if name is None:
        return plain if override.name is None else override.name
    if name != plain and name.isascii() and len(name) <= _PLAIN_NAME_BYTES:
        raise BadTar("a PAX header gives an entry another name than its own header does")
    return name


def _clean(raw: bytes) -> str:
    """Return a name fit to compare and to show.

    Raises:
        BadTar: absolute, with `..`, with control characters, or longer than any file's name.
    """
    name = raw.decode("utf-8", "backslashreplace")
    if name.startswith("/"):
        raise BadTar(f"it has an absolute name: {name[:80]!r}")
    if _CONTROL.search(name):
        raise BadTar(f"it has a name with control characters: {name[:80]!r}")
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise BadTar(f"it has a name that leads out of it: {name[:80]!r}")
    if len(raw) > MAX_PATH_BYTES or any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        raise BadTar(f"it has a name of more than {MAX_NAME_BYTES} bytes: {name[:80]!r}…")
    return "/".join(parts)


def _check_header(header: bytes) -> None:
    if len(header) != BLOCK:
        raise BadTar("it ends within a header")
    wanted = _number(header[148:156])
    if sum(header[:148]) + 8 * ord(" ") + sum(header[156:]) != wanted:
        raise BadTar("it has a header with a wrong checksum")


def _plain_name(header: bytes) -> bytes:
    name = header[:_PLAIN_NAME_BYTES].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _number(field: bytes) -> int:
    """Read octal digits, or GNU's base 256.

    Raises:
        BadTar: neither, or negative.
    """
    if field[0] & 0x80:
        if field[0] & 0x40:
            raise BadTar("it has a negative number")
        return int.from_bytes(bytes([field[0] & 0x3F]) + field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip(b" ")
    if any(digit not in b"01234567" for digit in digits):
        raise BadTar("it has a number that is none")
    return int(digits or b"0", 8)


def _record(stream: Stream, size: int) -> bytes:
    if size > MAX_RECORD_BYTES:
        raise BadTar(f"it has a header record of {size} bytes")
    data = stream.take(size)
    stream.skip(padding(size))
    if len(data) != size:
        raise BadTar("it ends within a header record")
    return data


def _apply(override: _Override, letter: bytes, data: bytes) -> _Override:
    match letter:
        case b"L":
            return replace(override, name=data.rstrip(b"\0"))
        case b"K":
            return override
        case _:
            return _apply_pax(override, letter, data)


def _apply_pax(override: _Override, letter: bytes, data: bytes) -> _Override:
    for key, value in _pax_records(data):
        if key.startswith("GNU.sparse"):
            raise BadTar("it holds a sparse file")
        if key in {"path", "size"} and letter == b"g":
            raise BadTar("a PAX header gives all entries one name or size")
        if key == "path":
            override = replace(override, pax_name=value)
        elif key == "size":
            override = replace(override, size=_decimal(value))
    return override


def _pax_records(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield keys and values of records: length, space, key, `=`, value, newline (POSIX pax)."""
    while data:
        digits, space, _ = data.partition(b" ")
        length = _decimal(digits)
        record = data[len(digits) + 1 : length]
        key, equals, value = record.partition(b"=")
        if not space or not equals or length > len(data) or not value.endswith(b"\n"):
            raise BadTar("it has a broken PAX header")
        yield key.decode("utf-8", "backslashreplace"), value[:-1]
        data = data[length:]


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > _MAX_DIGITS:
        raise BadTar("it has a broken PAX header")
    return int(digits)
