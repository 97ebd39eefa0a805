"""What a downloaded file is, by its first bytes, and its content as a stream with caps.

Called by `archive`. Names and media types are never asked. Decompressors get one buffer at a time
and give back at most one, so neither a bomb nor a large window gets at the agent's memory.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable
from typing import IO, Literal, cast

from rcm_agent.host import reading, terms

Format = Literal[
    "gzip", "xz", "zstd", "tar", "ELF", "zip", "bzip2", "HTML page", "script", "empty", "unknown"
]

MAX_RATIO = 100
"""Unpacked to packed. Shims have 3 to 4; what is beyond is a bomb (`faults.md` D)."""
_RATIO_SLACK_BYTES = terms.MIB
"""Small archives of little more than padding may exceed the ratio; a guess."""
_XZ_MEMORY_BYTES = 24 * terms.MIB
"""The agent shall stay below 64 MiB; `xz -7` needs 17, `xz -9` would take 65 (xz(1))."""
_ZSTD_WINDOW_BYTES = 8 * terms.MIB
"""What RFC 8878 asks every decoder to support; `zstd -19` needs no more."""
HEAD_BYTES = 512
_TAR_MAGIC_AT = 257


class BadData(Exception):  # noqa: N818 - never leaves `rcm_agent.host`
    """What is wrong with the compressed data."""


def sniff(head: bytes) -> Format:
    """Return what a file is, from its first `HEAD_BYTES` bytes."""
    magics: tuple[tuple[bytes, Format], ...] = (
        (b"\x1f\x8b", "gzip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\x7fELF", "ELF"),
        (b"PK\x03\x04", "zip"),
        (b"BZh", "bzip2"),
        (b"#!", "script"),
    )
    if not head:
        return "empty"
    for magic, name in magics:
        if head.startswith(magic):
            return name
    if head[_TAR_MAGIC_AT:].startswith(b"ustar"):
        return "tar"
    return "HTML page" if head.lstrip()[:1] == b"<" else "unknown"


class Unpacked:
    """The content of a plain or compressed file, counted against its caps (`tar.Stream`)."""

    def __init__(self, file: reading.File, kind: Format, *, max_bytes: int) -> None:
        """Begin at the file's start."""
        file.seek(0)
        self._packed = _Counted(file)
        self._read = _reader(self._packed, kind)
        self._compressed = kind != "tar"
        self._max_bytes = max_bytes
        self._given = 0

    def some(self, limit: int) -> bytes:
        """Return up to `limit` bytes; empty at the end.

        Raises:
            BadData: the data is broken, or more than the caps allow.
        """
        try:
            data = self._read(min(limit, reading.CHUNK_BYTES))
        except (zlib.error, lzma.LZMAError, EOFError, ValueError) as error:
            raise BadData(f"its compression is broken: {error}") from error
        self._given += len(data)
        if self._given > self._max_bytes:
            raise BadData(f"it unpacks to more than the {self._max_bytes} bytes allowed")
        if self._compressed and self._given > MAX_RATIO * self._packed.count + _RATIO_SLACK_BYTES:
            raise BadData(f"it unpacks to more than {MAX_RATIO} times its size")
        return data

    def take(self, count: int) -> bytes:
        """Return exactly `count` bytes, fewer only at the end."""
        pieces: list[bytes] = []
        while count and (data := self.some(count)):
            pieces.append(data)
            count -= len(data)
        return b"".join(pieces)

    def skip(self, count: int) -> None:
        """Leave out `count` bytes, or what is left."""
        while count and (data := self.some(count)):
            count -= len(data)


class _Counted:
    """The packed file, read in pieces, counted."""

    def __init__(self, file: reading.File) -> None:
        self._file = file
        self.count = 0

    def read(self, limit: int) -> bytes:
        data = self._file.read(limit) or b""
        self.count += len(data)
        return data


def _reader(packed: _Counted, kind: Format) -> Callable[[int], bytes]:
    match kind:
        case "gzip":
            return _Gzip(packed).read
        case "xz":
            return _Xz(packed).read
        case "zstd":
            return _zstd(packed)
        case _:
            return packed.read


class _Gzip:
    """One gzip member after the other (RFC 1952, 2.2); its checksum is checked by zlib."""

    def __init__(self, packed: _Counted) -> None:
        self._packed = packed
        self._engine = zlib.decompressobj(wbits=31)
        self._input = b""
        self._started = False

    def read(self, limit: int) -> bytes:
        while True:
            if self._engine.eof:
                self._input = self._engine.unused_data.lstrip(b"\0")
                self._engine, self._started = zlib.decompressobj(wbits=31), False
            self._input = self._input or self._packed.read(reading.CHUNK_BYTES)
            if not self._input:
                if self._started:
                    raise EOFError("it is cut off")
                return b""
            self._started = True
            data = self._engine.decompress(self._input, limit)
            self._input = self._engine.unconsumed_tail
            if data:
                return data


class _Xz:
    """One xz stream after the other."""

    def __init__(self, packed: _Counted) -> None:
        self._packed = packed
        self._engine = self._new()
        self._left = b""
        self._started = False

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)

    def read(self, limit: int) -> bytes:
        while True:
            if self._engine.eof:
                self._left = self._engine.unused_data.lstrip(b"\0")
                self._engine, self._started = self._new(), False
            given = b""
            if self._engine.needs_input:
                given, self._left = self._left or self._packed.read(reading.CHUNK_BYTES), b""
                if not given:
                    if self._started:
                        raise EOFError("it is cut off")
                    return b""
            self._started = True
            if data := self._engine.decompress(given, limit):
                return data


def _zstd(packed: _Counted) -> Callable[[int], bytes]:
    import zstandard  # noqa: PLC0415 - few archives need it

    engine = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    stream = engine.stream_reader(
        cast("IO[bytes]", packed), read_size=reading.CHUNK_BYTES, read_across_frames=True
    )  # it needs `read` alone

    def read(limit: int) -> bytes:
        try:
            data: bytes = stream.read(limit)
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error
        return data

    return read
