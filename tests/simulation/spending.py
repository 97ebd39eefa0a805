"""Rules about how many nodes may change at a time (design §6, 6; faults.md R6-R8).

Looked at when a write makes one more machine change. What the controller asked for itself counts
as it is in truth: a machine that goes on although its object says hold by now is still changing.
That nodes are NotReady or have failed counts from when the writer could know it.
"""

from __future__ import annotations

from datetime import timedelta

from rcm_api.noderuntime import Phase, ShimWanted, Wanted
from rcm_controller import views
from tests.simulation import oracle
from tests.simulation.scene import Broken, Scene

SILENT = timedelta(minutes=4)
"""The answer deadline, less what two skewed clocks may differ."""


def one_more(scene: Scene, node: str, entry: ShimWanted) -> None:
    """Judge a new entry of a NodeRuntime."""
    if not _begins(scene, node, entry.name):
        return
    if entry.phase is Wanted.ACTIVE:
        _control_planes_one_by_one(scene, node)
    view = scene.known_shims.get(entry.name)
    if view is None or view.wanted is None or view.wanted.rollout.type == "recreate":
        return
    if node in scene.known_nodes and _has_failed(scene, view, node):
        return  # it was counted as broken, and is mended or tried again whatever else stands
    _within_budget(scene, view, node=node, entry=entry)
    if entry.phase is Wanted.ACTIVE:
        _not_stopped(scene, view, node)


def _begins(scene: Scene, node: str, name: str) -> bool:
    machine = scene.fleet.machines.get(node)
    if machine is None or not scene.is_ours(node):
        return False
    after = oracle.changing(scene.cluster.runtimes[node], machine.state, name)
    return after and not oracle.changing(scene.before, machine.state, name)


def _within_budget(scene: Scene, view: views.ShimView, *, node: str, entry: ShimWanted) -> None:
    assert view.wanted is not None
    known = scene.known_nodes.get(node)
    if entry.phase is Wanted.ABSENT and (known is None or not known.ready):
        return  # a dead node is told at once: it disturbs nobody, and cleans itself when it is back
    chosen = oracle.selected(view, scene.known_nodes)
    count = len(scene.known_nodes) if view.deleting is not None else len(chosen)
    allowed = oracle.budget(view.wanted.rollout, count)
    spent = _spent(scene, view)
    if len(spent) > allowed:
        raise Broken(f"{view.name}: {sorted(spent)} change or are broken, allowed {allowed}")


def _spent(scene: Scene, view: views.ShimView) -> set[str]:
    late = view.name in oracle.late(scene.known_shims.values())
    chosen = {node.name for node in oracle.selected(view, scene.known_nodes) if not late}
    return {name for name in scene.fleet.machines if _spends(scene, view, name, name in chosen)}


def _spends(scene: Scene, view: views.ShimView, name: str, chosen: bool) -> bool:  # noqa: FBT001
    known, runtime = scene.known_nodes.get(name), scene.cluster.runtimes.get(name)
    down = known is not None and not known.ready
    if chosen and known is not None:
        if down and oracle.wanted_digest(view, known.os, known.arch):
            return True
        if _has_failed(scene, view, name):
            return True
    if down or not scene.is_ours(name) or _is_given_up(scene, name, view):
        return False
    return oracle.changing(runtime, scene.fleet.machines[name].state, view.name)


def _is_given_up(scene: Scene, name: str, view: views.ShimView) -> bool:
    """What nobody answers for so long must not keep all others from being cleaned or served.

    Only where nothing of the Shim shall stay: it is deleted, does not choose the node any more, has
    nothing for it, or came too late for its handler.
    """
    runtime, node = scene.cluster.runtimes[name], scene.known_nodes.get(name)
    entry, told = runtime.wanted(view.name), runtime.observed(view.name)
    if entry is None or entry.asked_at is None or told is None:
        return False
    draining = told.phase is Phase.DRAINING and not told.in_use
    if oracle.answered(entry, told) and told.phase is not Phase.FETCHED and not draining:
        return False
    going = entry.phase is Wanted.ABSENT or node is None or not _is_served(scene, view, node)
    return going and entry.asked_at <= scene.cluster.time() - SILENT


def _is_served(scene: Scene, view: views.ShimView, node: views.NodeView) -> bool:
    late = view.name in oracle.late(scene.known_shims.values())
    staying = view.wanted is not None and view.deleting is None and not late
    chosen = staying and view.wanted is not None and oracle.selects(view.wanted, node)
    return chosen and bool(oracle.wanted_digest(view, node.os, node.arch))


def _has_failed(scene: Scene, view: views.ShimView, node: str) -> bool:
    found, runtime = scene.known_nodes[node], scene.known_runtimes.get(node)
    if runtime is None or runtime.spec.node_uid != found.uid:
        return False
    digest = oracle.failed(runtime, view.name)
    return bool(digest) and digest == oracle.wanted_digest(view, found.os, found.arch)


def _not_stopped(scene: Scene, view: views.ShimView, node: str) -> None:
    assert view.wanted is not None
    rollout, chosen = view.wanted.rollout, oracle.selected(view, scene.known_nodes)
    if rollout.paused:
        raise Broken(f"{view.name} is paused and {node} begins")
    broken = [n.name for n in chosen if _has_failed(scene, view, n.name)]
    if len(broken) >= oracle.failures(rollout, len(chosen)):
        raise Broken(f"{view.name}: {node} begins though {broken} have failed")


def _control_planes_one_by_one(scene: Scene, node: str) -> None:
    found = scene.cluster.nodes.get(node)
    if found is None or not found.control_plane:
        return
    others = (name for name in scene.fleet.machines if name != node)
    busy = [name for name in others if _master_changes(scene, name)]
    if busy:
        raise Broken(f"control plane {node} begins while {busy} change")


def _master_changes(scene: Scene, name: str) -> bool:
    found, runtime = scene.cluster.nodes[name], scene.cluster.runtimes.get(name)
    if not found.control_plane or runtime is None or not scene.is_ours(name):
        return False
    asked = [e.name for e in runtime.spec.shims if e.phase is Wanted.ACTIVE]
    state = scene.fleet.machines[name].state
    return any(oracle.changing(runtime, state, shim) for shim in asked)
