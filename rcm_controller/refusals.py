"""What the API server will not take from us, and the condition that says so on the Shim.

`apply` notes refusals (RBAC, admission, schema) by object and forgets them when a write succeeds;
`loop` marks the statuses it writes. A refused status cannot tell of itself: the log does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

import msgspec

from rcm_api import conditions, shim_status
from rcm_controller import actions, world
from rcm_controller.pending import Key, key

REASON = "WriteRefused"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One object that we may not write."""

    shims: frozenset[str]
    """Whom it concerns."""
    message: str


class Refusals:
    """Those of now; noted by the writers' threads, read by the loop's."""

    def __init__(self) -> None:
        """Know of none."""
        self._lock = threading.Lock()
        self._found: dict[Key, Refusal] = {}

    def note(self, action: actions.Action, message: str) -> None:
        """Keep what the server said."""
        with self._lock:
            self._found[key(action)] = Refusal(frozenset(_shims(action)), message)

    def forget(self, where: Key) -> None:
        """An object was written after all."""
        with self._lock:
            self._found.pop(where, None)

    def among(self, decided: Iterable[actions.Action]) -> Mapping[str, tuple[str, ...]]:
        """Return what was said, by Shim, and forget what nobody wants to write any more."""
        if not self._found:
            return {}
        due = set(map(key, decided))
        with self._lock:
            self._found = {where: found for where, found in self._found.items() if where in due}
            return self._by_shim()

    def _by_shim(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for where in sorted(self._found):
            for shim in self._found[where].shims:
                found[shim] = (*found.get(shim, ()), self._found[where].message)
        return found


def mark(
    decided: Iterable[actions.Action], said: Mapping[str, Sequence[str]], seen: world.World
) -> Sequence[actions.Action]:
    """Return a plan whose statuses tell what the server refuses, without those already told."""
    written = {a.shim for a in decided if isinstance(a, actions.WriteShimStatus)}
    silent = [shim for shim in said if shim in seen.shims and shim not in written]
    more = [
        actions.WriteShimStatus(shim, seen.shims[shim].uid, seen.shims[shim].status)
        for shim in silent
    ]
    return [told for action in (*decided, *more) if (told := _told(action, said, seen)) is not None]


def _told(
    action: actions.Action, said: Mapping[str, Sequence[str]], seen: world.World
) -> actions.Action | None:
    if not isinstance(action, actions.WriteShimStatus) or action.shim not in said:
        return action
    former = seen.shims[action.shim].status
    status = _degraded(action.status, former, said[action.shim], seen.now)
    return None if status == former else replace(action, status=status)


def _degraded(
    status: shim_status.ShimStatus,
    former: shim_status.ShimStatus,
    messages: Sequence[str],
    now: datetime,
) -> shim_status.ShimStatus:
    more = f" ({len(messages) - 1} more)" if len(messages) > 1 else ""
    degraded = conditions.Condition(
        type="Degraded",
        status=conditions.TRUE,
        reason=REASON,
        message=f"The API server refuses a write of the controller: {messages[0]}{more}. "
        "Compare the controller's ClusterRole and admission policies with its release.",
        observed_generation=status.observed_generation,
    )
    (dated,) = conditions.merge(former.conditions, (degraded,), now=now)
    found = [dated if c.type == "Degraded" else c for c in status.conditions]
    return msgspec.structs.replace(
        status, conditions=tuple(found if dated in found else [*found, dated])
    )


def _shims(action: actions.Action) -> tuple[str, ...]:
    match action:
        case actions.LabelNode():
            return tuple(action.shims)
        case actions.CreateNodeRuntime() | actions.UpdateNodeRuntime():
            return tuple(entry.name for entry in action.spec.shims)
        case actions.CreateRuntimeClass() | actions.UpdateRuntimeClass():
            return (action.wanted.shim,)
        case actions.SetFinalizer() | actions.WriteShimStatus():
            return (action.shim,)
        case actions.DeleteNodeRuntime() | actions.DeleteRuntimeClass() | actions.EmitEvent():
            return ()
        case _:
            assert_never(action)
