"""What the watches suffer, for log, metrics and `/readyz`. Called by `run`."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from rcm_api.client import reflector
from rcm_controller import clock, metrics

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

PATIENCE = 3
"""Failures in a row that are no news: watches end, servers restart, history is compacted."""


class Watches:
    """The reflectors' health, by kind."""

    def __init__(self, heard: Mapping[str, reflector.Health], *, time: clock.Clock) -> None:
        """Watch the watches."""
        self._heard = heard
        self._time = time
        self._told: set[str] = set()

    def tell(self) -> None:
        """Log a trouble when it begins and when it is over, not while it lasts."""
        for kind, health in self._heard.items():
            if health.failures >= PATIENCE and kind not in self._told:
                self._told.add(kind)
                _log.warning("watch fails", kind=kind, problem=str(health.error))
            elif not health.failures and kind in self._told:
                self._told.discard(kind)
                _log.info("watch works again", kind=kind)

    def missing(self) -> str:
        """Say which kinds were never listed, and why; empty: all were."""
        return "; ".join(
            f"{kind} not listed yet: {health.error or 'under way'}"
            for kind, health in self._heard.items()
            if not health.synced
        )

    def show(self, told: metrics.Metrics) -> None:
        """Set the gauges."""
        now = self._time.monotonic()
        synced = [(kind, health) for kind, health in self._heard.items() if health.synced]
        told.show(metrics.WATCH_AGE, [((kind,), now - health.heard_at) for kind, health in synced])
        told.show(metrics.LISTS, [((k,), float(h.lists)) for k, h in self._heard.items()])
        told.show(
            metrics.WATCH_FAILURES, [((k,), float(h.failures)) for k, h in self._heard.items()]
        )
