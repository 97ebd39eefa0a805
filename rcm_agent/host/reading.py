"""Reading host files piece by piece, so that a shim of any size costs one buffer of memory.

Called by `partials`, `download`, `archive`, `elf` and `store`.

`ports.Kernel` can only read whole files; a real one can also open them. A simulated host's small
files are read whole.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable

from rcm_agent import ports
from rcm_agent.host import kernel as real

CHUNK_BYTES = 256 * 1024
"""Measured, 100 MB over loopback, medians: 64 KiB 0.41 s, 256 KiB 0.375 s, 1 MiB 0.36 s."""

File = io.FileIO | io.BytesIO


def open_file(kernel: ports.Kernel, path: str) -> File:
    """Open a regular file for reading, links followed; never waits on a fifo or a terminal.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """
    if not isinstance(kernel, real.RealKernel):
        return io.BytesIO(kernel.read(path))
    handle = kernel.open_read(path)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(22, "not a regular file", path)
    return io.FileIO(handle)


def sha256(kernel: ports.Kernel, path: str) -> str:
    """Return the SHA-256 of a file as 64 hex digits.

    Raises:
        OSError: it cannot be read.
    """
    hasher = hashlib.sha256()
    with open_file(kernel, path) as file:
        feed(file, hasher.update)
    return hasher.hexdigest()


def feed(file: File, take: Callable[[memoryview], None]) -> None:
    """Give `take` the rest of an open file, piece by piece; it must not keep them."""
    buffer = bytearray(CHUNK_BYTES)
    view = memoryview(buffer)
    while count := file.readinto(buffer):
        take(view[:count])
