"""Rules about what is written into objects, and about the finalizer."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from rcm_api import names, noderuntime
from rcm_api.noderuntime import Wanted
from rcm_controller import actions
from tests.fakes import standin
from tests.simulation import labels, spending
from tests.simulation.fleet import Machine
from tests.simulation.scene import Broken, Scene

MAX_BYTES = 4096
MOST_ATTEMPTS = 40
"""A life has some hours, and what fails for ever is tried each half an hour at last."""
GIVEN_UP = timedelta(minutes=9)
"""The dead nodes' deadline, less what two skewed clocks may differ."""
BACK_S = 120.0
"""A node that was away so recently may have been given up before anybody could know."""


def created(scene: Scene, action: actions.CreateNodeRuntime) -> None:
    """Judge a new NodeRuntime."""
    _spec(scene, action.node, action.spec)


def updated(scene: Scene, action: actions.UpdateNodeRuntime) -> None:
    """Judge a change of a NodeRuntime: it changes something, and never hands."""
    assert scene.before is not None
    if scene.before.spec.node_uid != action.spec.node_uid:
        raise Broken(f"the object of {action.node} changed hands: {action.spec.node_uid}")
    if scene.before.spec == action.spec:
        raise Broken(f"{action.node}: written and nothing changed")
    _spec(scene, action.node, action.spec)


def deleted(scene: Scene, action: actions.DeleteNodeRuntime) -> None:
    """Judge the end of a NodeRuntime: of this machine nobody would know anything any more."""
    machine = scene.fleet.machines.get(action.node)
    same = machine and scene.before and scene.before.spec.node_uid == machine.state.uid
    if machine is None or not same:
        return
    # What a machine brought along when it registered anew, nobody has asked about yet.
    left = [n for n, e in machine.state.entries.items() if e.digest and e.observed[0]]
    if left:
        raise Broken(f"{action.node} has {left} and its object is deleted")


def _spec(scene: Scene, node: str, spec: noderuntime.Spec) -> None:
    known = scene.known_nodes.get(node)
    if known is not None and known.uid != spec.node_uid:
        raise Broken(f"{node} has UID {known.uid}, its object is for {spec.node_uid}")
    if len(msgspec.json.encode(spec)) > MAX_BYTES:
        raise Broken(f"{node}: the object is too large")
    for entry in spec.shims:
        if scene.former(entry.name) != entry:
            _entry(scene, node, entry)
    kept = {entry.name for entry in spec.shims}
    for former in scene.before.spec.shims if scene.before else ():
        if former.name not in kept:
            _not_forgotten(scene, node, former.name)


def _entry(scene: Scene, node: str, entry: noderuntime.ShimWanted) -> None:
    shim, former = scene.cluster.shims.get(entry.name), scene.former(entry.name)
    if entry.phase is Wanted.ABSENT:
        labels.off_before_removal(scene, node, entry.name)
    elif former is None and shim is not None and names.FINALIZER not in shim.finalizers:
        raise Broken(f"{node} is asked for {entry.name}, which has no finalizer")
    if entry.attempt > MOST_ATTEMPTS:
        raise Broken(f"{node} is asked about {entry.name} for the {entry.attempt}th time")
    if entry.phase is not Wanted.PREFETCH:
        spending.one_more(scene, node, entry)


def _not_forgotten(scene: Scene, node: str, name: str) -> None:
    machine = scene.fleet.machines.get(node)
    mine = machine and machine.state.entries.get(name)
    if scene.is_ours(node) and mine and mine.digest:
        raise Broken(f"{node} has {name} and nobody asks to remove it any more")


def held_until_clean(scene: Scene, action: actions.SetFinalizer) -> None:
    """A Shim is released when no live machine has anything of it left."""
    if action.present:
        return
    for name, machine in scene.fleet.machines.items():
        mine = machine.state.entries.get(action.shim)
        if not mine or not mine.digest or not scene.is_ours(name):
            continue
        if _speaks(scene, name, machine) or _is_told_of(scene, name, action.shim):
            raise Broken(f"{action.shim} is released while {name} has {mine.digest[:8]}")


def _is_told_of(scene: Scene, name: str, shim: str) -> bool:
    """An object speaks for its node, also while its Node is not known; not as long as for ever."""
    node, runtime = scene.known_nodes.get(name), scene.known_runtimes.get(name)
    since = scene.known_shims[shim].deleting
    if runtime is None or since is None or since <= scene.cluster.time() - GIVEN_UP:
        return False
    uid = runtime.spec.node_uid
    unplaced = node is None or node.uid != uid
    return unplaced and uid == scene.cluster.nodes[name].uid and runtime.wanted(shim) is not None


def _speaks(scene: Scene, name: str, machine: Machine) -> bool:
    known = scene.known_nodes.get(name)
    if known is None or not known.ready or not machine.alive or machine.mute:
        return False
    return not standin.hangs(machine.state) and scene.cluster.now - machine.since > BACK_S
