"""Keeps a starting containerd from waiting for ever for a shim that waits for a reader of its log.

Called by `containerd.RealContainerd.heard`. Each bundle has a named pipe `log`, which containerd
reads. A shim opens it for writing before it does anything else, and that waits for a reader. When
containerd ends while a shim is being started, nobody reads: the next containerd runs the shim's
`delete` for the bundle, which waits for a reader, and containerd waits for it without a deadline
before it serves anybody, again after every restart. Seen with containerd 1.7.24 and
containerd-shimkit 0.1.2, so with every shim of runwasi; pods that start while we restart suffice.

An open for reading that ends at once wakes the writer, and takes nothing from who reads already.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import stat
import threading
from collections.abc import Generator

_PIPES = "io.containerd.runtime.v2.task/*/*/log"
_PERIOD_S = 0.5
"""containerd cleans up one bundle after the other; each wait for us is at most so long."""


@contextlib.contextmanager
def heard(state: str) -> Generator[None]:
    """Wake all writers again and again, until the block ends.

    Args:
        state: containerd's directory for what lives in memory, for example /run/containerd.
    """
    done = threading.Event()

    def work() -> None:
        while not done.wait(_PERIOD_S):
            wake(state)

    thread = threading.Thread(target=work, name="log-pipes", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def wake(state: str) -> None:
    """Wake every shim that waits for a reader; a bundle that goes meanwhile is no matter."""
    for path in pathlib.Path(state).glob(_PIPES):
        with contextlib.suppress(OSError):
            if stat.S_ISFIFO(path.lstat().st_mode):
                os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC))
