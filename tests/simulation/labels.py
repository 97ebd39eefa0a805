"""Rules about ready labels and RuntimeClasses (design §6, 7)."""

from __future__ import annotations

from rcm_api import names
from rcm_api.noderuntime import Phase, Wanted
from rcm_controller import actions
from tests.simulation import oracle
from tests.simulation.scene import Broken, Scene


def only_where_proven(scene: Scene, action: actions.LabelNode) -> None:
    """A label is set where this machine's agent proved the handler, and not while it goes."""
    for name in (name for name, on in action.shims.items() if on):
        _wanted_there(scene, action.node, name)
        _proven(scene, action.node, name)
        entry = scene.former(name)
        if entry is not None and entry.phase is Wanted.ABSENT:
            raise Broken(f"{action.node} is labelled {name} while it is removed there")


def _wanted_there(scene: Scene, node: str, name: str) -> None:
    view = scene.known_shims.get(name)
    if view is None or view.wanted is None or view.deleting is not None:
        raise Broken(f"{node} is labelled {name}, which is not there to stay")
    if not oracle.selects(view.wanted, scene.known_nodes[node]):
        raise Broken(f"{node} is labelled {name} and not selected")


def _proven(scene: Scene, node: str, name: str) -> None:
    known, wanted = scene.known_runtimes.get(node), scene.known_shims[name].wanted
    told = known and known.observed(name)
    if known is None or known.spec.node_uid != scene.known_nodes[node].uid:
        raise Broken(f"{node} is labelled {name} for another machine")
    handler = wanted and wanted.runtime_class.handler
    if not told or not told.digest or told.handler != handler:
        raise Broken(f"{node} is labelled {name} without a proof of {handler}: {told}")
    if told.phase in (Phase.DRAINING, Phase.ABSENT):
        raise Broken(f"{node} is labelled {name} while {told.phase}")


def off_before_removal(scene: Scene, node: str, name: str) -> None:
    """A machine is asked to remove a Shim only when its label is off."""
    former, found = scene.former(name), scene.cluster.nodes.get(node)
    if former is not None and former.phase is Wanted.ABSENT:
        return
    if (node, names.ready_label(name)) in scene.fleet.forged:
        return  # by somebody else, a moment ago perhaps
    if found is not None and scene.is_ours(node) and oracle.labelled(found, name):
        raise Broken(f"{node} is asked to remove {name} under its label")


def class_selects_the_label(scene: Scene, action: actions.CreateRuntimeClass) -> None:
    """Pods go where the label is, and nothing of a Shim exists before its finalizer."""
    shim = scene.cluster.shims.get(action.wanted.shim)
    same = shim is not None and shim.uid == action.wanted.shim_uid
    if same and shim is not None and names.FINALIZER not in shim.finalizers:
        raise Broken(f"a RuntimeClass for {shim.name}, which has no finalizer")
    expected = {names.ready_label(action.wanted.shim): names.READY}
    if dict(action.wanted.node_selector) != expected:
        raise Broken(f"the RuntimeClass selects {action.wanted.node_selector}")
