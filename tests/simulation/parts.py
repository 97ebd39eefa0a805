"""What everything that happens to a cluster works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rcm_controller import views
from tests.simulation.cluster import Cluster
from tests.simulation.controller import Controller
from tests.simulation.fleet import Fleet
from tests.simulation.scheduler import Scheduler

ZONES = ("a", "b", "c")


@dataclass
class Parts:
    """The parts of one life, and counters for names that never come again."""

    cluster: Cluster
    scheduler: Scheduler
    fleet: Fleet
    controllers: tuple[Controller, ...]
    releases: int = 0
    shims: int = 0
    names: int = 0
    calm: bool = False

    def _node(self) -> str | None:
        return self._pick(self.fleet.machines)

    def _shim(self) -> views.ShimView | None:
        name = self._pick(self.cluster.shims)
        return None if name is None else self.cluster.shims[name]

    def _pick(self, found: dict[str, Any]) -> str | None:
        return self.scheduler.random.choice(list(found)) if found else None
