"""Fake shim binaries: a real ELF header, then a marker that says how the shim behaves."""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass

from rcm_agent import ports

_MACHINES = {"amd64": 62, "arm64": 183}
_MARKER = re.compile(rb"SHIM (GOOD|BAD|HANG|CRASH) (\S+)( NOPIDS)?\n")


def binary(
    behaviour: str = "GOOD",
    version: str = "v1",
    *,
    pids: bool = True,
    architecture: str = "amd64",
    padding: int = 0,
) -> bytes:
    """Return an executable.

    `behaviour`: GOOD works; BAD ends every call with exit 3; HANG never answers; CRASH answers
    `-v` but starts no sandbox. `pids`: whether its containers survive a restart of containerd.
    """
    marker = f"SHIM {behaviour} {version}{'' if pids else ' NOPIDS'}\n".encode() + bytes(padding)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01" + bytes(9),
        2, _MACHINES[architecture], 1, 0x400078, 64, 0, 0, 64, 56, 1, 64, 0, 0,
    )  # fmt: skip
    size = len(header) + 56 + len(marker)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, size, size, 4096)
    return header + segment + marker


@dataclass(frozen=True, slots=True)
class Behaviour:
    kind: str
    version: str
    pids: bool
    sha256: str


def behaviour(data: bytes) -> Behaviour | None:
    """Return what an executable does, None when no machine runs it (torn, empty, other)."""
    found = _MARKER.search(data)
    if not data.startswith(b"\x7fELF") or data[18:20] != b"\x3e\x00" or found is None:
        return None
    return Behaviour(
        kind=found[1].decode(),
        version=found[2].decode(),
        pids=found[3] is None,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def version_text(path: str, found: Behaviour) -> ports.Completed:
    """Return the answer to `<shim> -v` of one that answers."""
    if found.kind == "BAD":
        return ports.Completed(3, b"", b"panic: this shim is broken\n")
    text = f"{path}:\n  Runtime: io.containerd.wasmtime.v1\n  Version: {found.version}\n  Revision: abc\n"
    return ports.Completed(0, text.encode(), b"")
