"""Which actions go first when the write budget is short. Pure; called by `loop`.

A plan says what is due, all of it at once and in any order. A canary's turn must not wait behind
thousands of downloads, so what others wait for goes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

from rcm_api import noderuntime
from rcm_controller import actions, node_classes, world


def by_urgency(decided: Iterable[actions.Action], seen: world.World) -> Sequence[actions.Action]:
    """Return the actions, the urgent ones first; equals keep the planner's order."""
    found = tuple(decided)
    first = _pioneers(found, seen)
    return sorted(found, key=lambda action: _rank(action, seen, first))


_Question = actions.CreateNodeRuntime | actions.UpdateNodeRuntime


def _rank(action: actions.Action, seen: world.World, first: frozenset[str]) -> int:
    match action:
        case actions.SetFinalizer():
            return 0
        case actions.WriteShimStatus():
            return 1
        case actions.LabelNode():
            return 4 if all(action.shims.values()) else 2
        case (
            actions.CreateRuntimeClass()
            | actions.UpdateRuntimeClass()
            | actions.DeleteRuntimeClass()
        ):
            return 2
        case actions.UpdateNodeRuntime():
            if action.node in first:
                return 3
            return 6 if _moves(action, seen) else 7
        case actions.CreateNodeRuntime():
            return 3 if action.node in first else 7
        case actions.DeleteNodeRuntime():
            return 7
        case actions.EmitEvent():
            return 5
        case _:
            assert_never(action)


def _pioneers(decided: Iterable[actions.Action], seen: world.World) -> frozenset[str]:
    """Return the nodes that are the first of their class to fetch a digest, or to change to it.

    The first node that has fetched becomes the canary, and all others wait for it.
    """
    asked = [a for a in decided if isinstance(a, _Question) and _may_lead(a.node, seen)]
    if not asked:
        return frozenset()
    known = {
        (*turn, node_classes.of(runtime))
        for runtime in seen.runtimes.values()
        for turn in _turns(runtime.spec)
    }
    found: set[str] = set()
    for action in asked:
        kind = node_classes.of(seen.runtimes.get(action.node))
        news = {(*turn, kind) for turn in _turns(action.spec)} - known
        if news:
            known |= news
            found.add(action.node)
    return frozenset(found)


def _may_lead(name: str, seen: world.World) -> bool:
    """Control planes change last, and a node that is down answers nothing."""
    node = seen.nodes.get(name)
    return node is not None and node.ready and not node.control_plane


def _turns(spec: noderuntime.Spec) -> Iterator[tuple[str, str, bool]]:
    """Yield Shim and digest of what is asked, for the fetching and, if it is, for the change."""
    for entry in spec.shims:
        if entry.phase is not noderuntime.Wanted.ABSENT:
            yield entry.name, entry.digest, False
        if entry.phase is noderuntime.Wanted.ACTIVE:
            yield entry.name, entry.digest, True


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
