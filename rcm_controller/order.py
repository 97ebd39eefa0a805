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
    """Tell whether a node is asked for more than a download."""
    former = seen.runtimes.get(action.node)
    asked = {_ask(entry) for entry in former.spec.shims} if former is not None else None
    return any(
        entry.phase is not noderuntime.Wanted.PREFETCH and _ask(entry) not in (asked or ())
        for entry in action.spec.shims
    )


def _ask(entry: noderuntime.ShimWanted) -> tuple[str, str, str, int]:
    return entry.name, entry.phase, entry.digest, entry.attempt
