"""Watches the starts of containerd: after one, something may be elsewhere or lost.

Owned by `loop`.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from rcm_agent import errors
from rcm_agent.cluster import reasons, sight, watchers
from rcm_agent.work import Work

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

Start = tuple[str, int]
"""Of a containerd: the boot, and microseconds after it."""


FIRST_PAUSE_S = 20.0
"""Between the sweep at a start and the next one: less than a look's distance."""
LONGEST_PAUSE_S = 3600.0


class Starts:
    """The containerd that was seen last, and when to sweep: end what containerd has forgotten.

    A shim whose guest was forgotten at a start outlives its pod, which may go at any later time. So
    there is a sweep at each start, and others at pauses that double. All is done without any Shim,
    too: what is left of a removed one is an orphan like others.
    """

    def __init__(self, end_orphans: Callable[[Work], int], observer: watchers.Observer) -> None:
        """Know of none."""
        self._end_orphans = end_orphans
        self._observer = observer
        self._known: Start | None = None
        self._pause_s = FIRST_PAUSE_S
        self._due_s = 0.0

    def foreign(self, seen: sight.Sight | None) -> bool:
        """Tell whether another containerd runs than the one that was known."""
        return None not in {self._known, start_of(seen)} and start_of(seen) != self._known

    def forget(self) -> None:
        """Know of none any more."""
        self._known = None

    def sweep(self, work: Work, seen: sight.Sight | None) -> None:
        """Sweep if it is time.

        After our own starts, too: pods may have started between the gate and the restart, and those
        that were stopped for its sake come back at once.
        """
        started = start_of(seen)
        if started is None:
            return
        if started != self._known:
            if self.sweep_now(work):
                self._known = started
        elif work.host.machine.uptime_s() >= self._due_s:
            self._sweep(work)

    def sweep_now(self, work: Work) -> bool:
        """Sweep, and soon again; False when it must be tried again."""
        self._pause_s = FIRST_PAUSE_S
        return self._sweep(work)

    def _sweep(self, work: Work) -> bool:
        try:
            ended = self._end_orphans(work)
        except errors.AgentError as error:
            _log.warning("cannot look for forgotten processes", problem=reasons.text(error))
            return False
        self._due_s = work.host.machine.uptime_s() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        if ended:
            self._observer.orphans(ended)
            _log.warning("ended processes that containerd had forgotten", processes=ended)
        return True


def start_of(seen: sight.Sight | None) -> Start | None:
    """Return which containerd was seen; None: none that answers."""
    if seen is None or seen.handlers is None:
        return None
    return seen.observed.boot_id, seen.observed.unit.started_us
