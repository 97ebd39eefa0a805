"""What a rule looks at: the truth, the machines, and what the writer knew when it decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rcm_api import noderuntime
from rcm_controller import views
from tests.simulation.cluster import Cluster
from tests.simulation.fleet import Fleet

Runtime = noderuntime.NodeRuntime


class Broken(AssertionError):  # noqa: N818 - reads as what it is
    """An invariant does not hold."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One write, just after it."""

    cluster: Cluster
    fleet: Fleet
    view: Mapping[str, dict[str, Any]]
    """What the controller that wrote knew when it decided."""
    before: Runtime | None
    """The NodeRuntime that the write is about, before it."""

    @property
    def known_nodes(self) -> dict[str, views.NodeView]:
        return self.view["nodes"]

    @property
    def known_runtimes(self) -> dict[str, Runtime]:
        return self.view["runtimes"]

    @property
    def known_shims(self) -> dict[str, views.ShimView]:
        return self.view["shims"]

    def former(self, shim: str) -> noderuntime.ShimWanted | None:
        """Return what was asked for before the write."""
        return None if self.before is None else self.before.wanted(shim)

    def is_ours(self, node: str) -> bool:
        """Tell whether a machine takes the object of its name for its own."""
        machine, runtime = self.fleet.machines.get(node), self.cluster.runtimes.get(node)
        if machine is None or runtime is None:
            return False
        return machine.state.uid == runtime.spec.node_uid
