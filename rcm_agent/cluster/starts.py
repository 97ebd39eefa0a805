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


class Starts:
    """The containerd that was seen last."""

    def __init__(self, end_orphans: Callable[[Work], int], observer: watchers.Observer) -> None:
        """Know of none."""
        self._end_orphans = end_orphans
        self._observer = observer
        self._known: Start | None = None

    def foreign(self, seen: sight.Sight | None) -> bool:
        """Tell whether another containerd runs than the one that was known."""
        return None not in {self._known, start_of(seen)} and start_of(seen) != self._known

    def forget(self) -> None:
        """Know of none any more."""
        self._known = None

    def sweep(self, work: Work, seen: sight.Sight | None) -> None:
        """Once per start, end what containerd has forgotten.

        After ours, too: pods may have started between the gate and the restart, and those that were
        stopped for its sake come back at once.
        """
        started = start_of(seen)
        if started is None or started == self._known:
            return
        if not work.current.shims or self._swept(work):
            self._known = started

    def _swept(self, work: Work) -> bool:
        """End what containerd has forgotten; False when it must be tried again."""
        try:
            ended = self._end_orphans(work)
        except errors.AgentError as error:
            _log.warning("cannot look for forgotten processes", problem=reasons.text(error))
            return False
        if ended:
            self._observer.orphans(ended)
            _log.warning("ended processes that containerd had forgotten", processes=ended)
        return True


def start_of(seen: sight.Sight | None) -> Start | None:
    """Return which containerd was seen; None: none that answers."""
    if seen is None or seen.handlers is None:
        return None
    return seen.observed.boot_id, seen.observed.unit.started_us
