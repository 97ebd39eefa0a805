"""What must be true once the last fault is over and nothing moves any more (R11), in words."""

from __future__ import annotations

from collections.abc import Iterator

from rcm_api import names
from rcm_api.noderuntime import Phase
from rcm_controller import views
from tests.simulation import oracle
from tests.simulation.cluster import Cluster
from tests.simulation.fleet import Fleet


def wrong(cluster: Cluster, fleet: Fleet, *, mended: bool) -> list[str]:
    """Return what is not as it should be; `mended`: every release is good and rolls."""
    late = oracle.late(cluster.shims.values())
    found = [*_labels(cluster, fleet, late), *_leftovers(cluster, fleet, mended=mended)]
    for view in cluster.shims.values():
        if view.deleting is not None:
            found.append(f"{view.name} is still being deleted")
        elif mended and view.name not in late:
            found += [*_served(cluster, fleet, view), *_class(cluster, view)]
    return found


def _served(cluster: Cluster, fleet: Fleet, view: views.ShimView) -> Iterator[str]:
    assert view.wanted is not None
    for node in oracle.selected(view, cluster.nodes):
        state = fleet.machines[node.name].state
        digest = oracle.wanted_digest(view, node.os, node.arch)
        if not digest or not state.supported:
            continue
        entry = state.entries.get(view.name)
        if entry is None or entry.digest != digest or entry.phase is not Phase.READY:
            yield f"{node.name} has not got {view.name} {digest[:8]}: {entry}"
        elif not oracle.labelled(node, view.name):
            yield f"{node.name} has {view.name} and no label"


def _class(cluster: Cluster, view: views.ShimView) -> Iterator[str]:
    assert view.wanted is not None
    wanted = view.wanted.runtime_class
    found = cluster.classes.get(wanted.name)
    if found is None or found.handler != wanted.handler:
        yield f"the RuntimeClass of {view.name} is {found}"
    elif dict(found.node_selector) != {names.ready_label(view.name): names.READY}:
        yield f"the RuntimeClass of {view.name} selects {found.node_selector}"


def _labels(cluster: Cluster, fleet: Fleet, late: set[str]) -> Iterator[str]:
    for node in cluster.nodes.values():
        for key, value in node.labels.items():
            if not key.startswith(names.READY_PREFIX):
                continue
            name = key.removeprefix(names.READY_PREFIX)
            found = _label(cluster, fleet, node=node, name=name, value=value)
            if found and name not in late:
                yield found


def _label(cluster: Cluster, fleet: Fleet, *, node: views.NodeView, name: str, value: str) -> str:
    view, entry = cluster.shims.get(name), fleet.machines[node.name].state.entries.get(name)
    if value != names.READY or view is None or view.wanted is None:
        return f"{node.name} has the label {name}={value} of nobody"
    if not oracle.selects(view.wanted, node):
        return f"{node.name} has the label {name} and is not selected"
    if entry is None or not entry.digest:
        return f"{node.name} has the label {name} and nothing installed"
    if entry.handler != view.wanted.runtime_class.handler:
        return f"{node.name} has the label {name} and the handler {entry.handler}"
    return ""


def _leftovers(cluster: Cluster, fleet: Fleet, *, mended: bool) -> Iterator[str]:
    """What fails for ever holds the budget, and may keep nodes from being cleaned."""
    for name, machine in fleet.machines.items():
        if name not in cluster.runtimes:
            continue  # registered anew, and no Shim wants it: nobody can know what it had before
        for shim, entry in machine.state.entries.items():
            view, node = cluster.shims.get(shim), cluster.nodes[name]
            chosen = view is not None and view.wanted and oracle.selects(view.wanted, node)
            if mended and entry.digest and not chosen:
                yield f"{name} still has {shim}: {entry.phase}"
    for name in cluster.runtimes.keys() - cluster.nodes.keys():
        yield f"the object of {name} is still there"
    for name, found in cluster.classes.items():
        if not any(v.uid in found.owners for v in cluster.shims.values()):
            yield f"the RuntimeClass {name} is still there"
