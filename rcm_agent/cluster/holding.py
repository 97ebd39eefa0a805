"""The host's lock, held for as long as any part of this process works on the host.

Downloads last minutes and run beside operations: both hold the lock, and the last one lets go.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator

from rcm_agent import ports, session


class Lock:
    """One process' hold on `/run/rcm/lock`."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._mutex = threading.Lock()
        self._users = 0
        self._handle = -1

    @contextlib.contextmanager
    def held(self, host: ports.Host) -> Generator[None]:
        """Hold it meanwhile.

        Raises:
            Busy: another agent has it.
            HostError: it cannot be taken.
        """
        with self._mutex:
            if self._users == 0:
                self._handle = session.lock(host)
            self._users += 1
        try:
            yield
        finally:
            with self._mutex:
                self._users -= 1
                if self._users == 0:
                    host.kernel.close(self._handle)
