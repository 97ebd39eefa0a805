"""Which actions go first when the write budget is short. Pure; called by `loop`.

A plan says what is due, all of it at once and in any order. A canary's turn must not wait behind
thousands of downloads, so what others wait for goes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

from rcm_api import noderuntime
from rcm_controller import actions, world


def by_urgency(decided: Iterable[actions.Action], seen: world.World) -> Sequence[actions.Action]:
    """Return the actions, the urgent ones first; equals keep the planner's order."""
    return sorted(decided, key=lambda action: _rank(action, seen))


def _rank(action: actions.Action, seen: world.World) -> int:
    match action:
        case actions.SetFinalizer():
            return 0
        case actions.WriteShimStatus():
            return 1
        case actions.LabelNode():
            return 2
        case (
            actions.CreateRuntimeClass()
            | actions.UpdateRuntimeClass()
            | actions.DeleteRuntimeClass()
        ):
            return 2
        case actions.UpdateNodeRuntime():
            return 4 if _moves(action, seen) else 5
        case actions.CreateNodeRuntime() | actions.DeleteNodeRuntime():
            return 5
        case actions.EmitEvent():
            return 3
        case _:
            assert_never(action)


def _moves(action: actions.UpdateNodeRuntime, seen: world.World) -> bool:
    """Tell whether a node is asked for more than a download, or is called back from that."""
    known = seen.runtimes.get(action.node, _NOTHING)
    former = {entry.name: entry for entry in known.spec.shims}
    return any(
        _wants(entry, former.get(entry.name)) or _called_back(entry, former.get(entry.name), known)
        for entry in action.spec.shims
    )


def _wants(entry: noderuntime.ShimWanted, former: noderuntime.ShimWanted | None) -> bool:
    if entry.phase is PREFETCH:
        return False
    return former is None or _ask(entry) != _ask(former)


def _called_back(
    entry: noderuntime.ShimWanted,
    former: noderuntime.ShimWanted | None,
    known: noderuntime.NodeRuntime,
) -> bool:
    """A node that was asked and is not done with it holds a place that others wait for."""
    if entry.phase is not PREFETCH or former is None or former.phase is PREFETCH:
        return False
    seen = known.observed(entry.name)
    return seen is None or seen.phase is not noderuntime.Phase.READY


def _ask(entry: noderuntime.ShimWanted) -> tuple[str, str, int]:
    return entry.phase, entry.digest, entry.attempt


_NOTHING = noderuntime.NodeRuntime(noderuntime.Metadata(""))
PREFETCH = noderuntime.Wanted.PREFETCH
