"""Whether the agent lives and works, for kubelet: `/healthz` and `/readyz`.

`metrics` beats the pulse at each turn of the loop, and at each step and download of a turn that
takes long; `run` says when the node's object was read first, and serves the two checks.

    /healthz  fails when nothing beat for `STUCK_S`: kubelet starts the pod anew, which costs
              nothing, since the journal says where to go on
    /readyz   fails until the object was read once; an API server that goes away later is no
              reason to be unready, as the node keeps working on what is known
"""

from __future__ import annotations

import threading
from collections.abc import Callable

STUCK_S = 1200.0
"""Between two beats. The longest quiet piece of a turn is one download, which ends after 900 s
(`terms.Policy.deadline_s`); stopping a pod with its grace period takes less. The rest is room."""


class Pulse:
    """What the loop leaves behind for the two checks."""

    def __init__(self, monotonic: Callable[[], float], *, stuck_s: float = STUCK_S) -> None:
        """Take the start as the first beat; `monotonic` gives seconds."""
        self._monotonic = monotonic
        self._stuck_s = stuck_s
        self._beaten_at = monotonic()
        self._read = threading.Event()

    def beat(self) -> None:
        """Say that something went on."""
        self._beaten_at = self._monotonic()

    def read(self) -> None:
        """Say that the node's object was read."""
        self._read.set()

    def alive(self) -> str:
        """Return what is wrong, empty: nothing."""
        silent_s = self._monotonic() - self._beaten_at
        return f"the loop has not moved for {silent_s:.0f} s" if silent_s > self._stuck_s else ""

    def ready(self) -> str:
        """Return what is wrong, empty: nothing."""
        return "" if self._read.is_set() else "this node's NodeRuntime was not read yet"
