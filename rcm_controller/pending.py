"""What was decided and is not done yet: which action may be carried out now, and when the next.

The loop puts each plan in place of the one before, so nothing decided on an older view waits here.
Writers take one action after another, never two on one object at a time, and none on an object
whose last write failed a moment ago. In memory only: the next plan asks again for what is lost.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import assert_never

from rcm_api.client import backoff
from rcm_controller import actions, budget, clock, metrics

Key = tuple[str, str]
"""Kind and name of the object that an action writes."""


class Outcome(enum.StrEnum):
    """How a write ended."""

    OK = "ok"
    SAME = "same"
    """The server took it and nothing changed: asking again would change nothing either."""
    CONFLICT = "conflict"
    """Decided on an old view; the watch brings a newer one."""
    GONE = "gone"
    REFUSED = "refused"
    """Invalid or forbidden: a person must act."""
    THROTTLED = "throttled"
    FAILED = "failed"
    """The server's own error; the others may work."""
    UNREACHABLE = "unreachable"
    """Perhaps done, perhaps not."""
    SKIPPED = "skipped"
    """Not sent: the term of the leader that decided it is over."""


@dataclass(frozen=True, slots=True)
class Task:
    """An action that may be carried out now."""

    action: actions.Action
    term: int
    """Of the leader that decided it."""
    version: str = ""
    """resourceVersion of the Shim or Node that was looked at: these actions name none themselves."""


QUICK = backoff.Backoff(base_s=0.5, cap_s=30.0)
"""After a conflict the watch is a moment behind; later the server or an object is in trouble."""
SLOW = backoff.Backoff(base_s=30.0, cap_s=300.0)
"""After a no that only a person changes: seen within five minutes, and no noise meanwhile."""
NO_WISH_S = 1.0
"""After a 429 without Retry-After; client-go's default."""
ALL_TROUBLED = 3
"""So many server errors in a row are the server's, not one object's."""
MUCH = 20_000
"""More objects than 15,000 nodes give in a minute at any sane budget."""
EVENT = "Event"
MOST_UNTOLD = 50
"""Events that wait to be told; twice what `recorder` lets through at once."""
RESTLESS = 20
RESTLESS_WITHIN_S = 60.0
REST_S = 5.0
"""More than 20 writes of one object in a minute are no rollout: from then on one each 5 s."""


@dataclass(slots=True)
class _Hold:
    failures: int
    until: float
    refused: bool = False


class Pending:
    """Shared by the loop and the writers."""

    def __init__(
        self,
        limit: budget.Budget,
        *,
        time: clock.Clock,
        random: backoff.Random,
        told: metrics.Metrics,
    ) -> None:
        """Start empty."""
        self._limit = limit
        self._time = time
        self._random = random
        self._told = told
        self._lock = threading.Lock()
        self._tasks: dict[Key, Task] = {}
        self._busy: set[Key] = set()
        self._looks = 0
        self._done_since: dict[Key, int] = {}
        self._holds: dict[Key, _Hold] = {}
        self._written: dict[Key, tuple[float, int]] = {}
        """Since when, and how often, each object was written with success."""
        self._troubles = 0
        """Writes in a row that the server could not answer."""

    def look(self) -> int:
        """Return a mark to take before the caches are read, for `put`."""
        with self._lock:
            self._looks += 1
            return self._looks

    def put(self, decided: Iterable[Task], *, look: int) -> int:
        """Take a plan in place of the former one; return how many actions wait.

        Of several on one object the first one counts: the others were decided on a state that it
        changes. For the same reason none counts whose object was written since `look`. Events stay
        until they are told: the plan after a turn knows nothing of it any more.
        """
        tasks: dict[Key, Task] = {}
        for task in decided:
            tasks.setdefault(key(task.action), task)
        with self._lock:
            late = {where for where, at in self._done_since.items() if at >= look}
            self._done_since = {where: self._done_since[where] for where in late}
            self._forget_old(self._time.monotonic())
            fresh = {where: task for where, task in tasks.items() if where not in late}
            self._tasks = self._untold(fresh) | fresh
            return len(self._tasks)

    def _forget_old(self, now: float) -> None:
        """Forget what is long ago, when there is much of it."""
        if len(self._written) > MUCH:
            recent = {w: c for w, c in self._written.items() if now - c[0] <= RESTLESS_WITHIN_S}
            self._written = recent
        if len(self._holds) > MUCH:
            self._holds = {w: h for w, h in self._holds.items() if h.until > now - SLOW.cap_s}

    def _untold(self, fresh: Mapping[Key, Task]) -> dict[Key, Task]:
        kept = [
            item for item in self._tasks.items() if item[0][0] == EVENT and item[0] not in fresh
        ]
        return dict(kept[-MOST_UNTOLD:])

    def take(self) -> Task | float:
        """Return the next task, or the seconds until there may be one."""
        with self._lock:
            found = self._free()
            if not isinstance(found, tuple):
                return found
            wait = self._limit.take()
            if wait > 0:
                self._told.count(metrics.WAITS)
                return wait
            self._busy.add(found)
            return self._tasks.pop(found)

    def done(self, task: Task, outcome: Outcome, *, wish_s: float | None = None) -> None:
        """Note how a task ended."""
        where = key(task.action)
        with self._lock:
            self._busy.discard(where)
            self._tasks.pop(where, None)
            self._done_since[where] = self._looks
            self._note_server(outcome, wish_s)
            self._note_object(where, outcome, wish_s)

    def idle(self) -> bool:
        """Tell whether no write is under way."""
        with self._lock:
            return not self._busy

    def clear(self) -> None:
        """Forget the plan: the next term begins with its own."""
        with self._lock:
            self._tasks = {}

    def _free(self) -> Key | float:
        now = self._time.monotonic()
        soonest = _FOREVER
        for where in self._tasks:
            hold = self._holds.get(where)
            if hold is not None and hold.until > now:
                soonest = min(soonest, hold.until - now)
            elif where not in self._busy:
                return where
        return soonest

    def _note_object(self, where: Key, outcome: Outcome, wish_s: float | None) -> None:
        if outcome in {Outcome.OK, Outcome.SKIPPED, Outcome.THROTTLED}:
            self._release(where, outcome)
            self._rest(where, outcome)
            return
        former = self._holds.get(where)
        failures = 1 if former is None else former.failures + 1
        curve = SLOW if outcome in {Outcome.REFUSED, Outcome.SAME} else QUICK
        pause = curve.after(failures, random=self._random, wish_s=wish_s)
        until = self._time.monotonic() + pause
        self._holds[where] = _Hold(failures, until, refused=outcome is Outcome.REFUSED)

    def _release(self, where: Key, outcome: Outcome) -> None:
        """End a hold; when a refused write is taken at last, its whole kind may try again."""
        former = self._holds.pop(where, None)
        if former is None or not former.refused or outcome is not Outcome.OK:
            return
        self._holds = {
            other: hold
            for other, hold in self._holds.items()
            if not (hold.refused and other[0] == where[0])
        }

    def _rest(self, where: Key, outcome: Outcome) -> None:
        """Slow down when one object is written again and again: somebody undoes it, or we err."""
        now = self._time.monotonic()
        began, count = self._written.get(where, (now, 0))
        if now - began > RESTLESS_WITHIN_S:
            began, count = now, 0
        count += outcome is Outcome.OK
        self._written[where] = (began, count)
        if count > RESTLESS:
            self._holds[where] = _Hold(0, now + REST_S)

    def _note_server(self, outcome: Outcome, wish_s: float | None) -> None:
        """Close the budget for everybody while the server is in trouble."""
        if outcome is Outcome.THROTTLED:
            self._limit.close(NO_WISH_S if wish_s is None else wish_s)
        if outcome not in {Outcome.FAILED, Outcome.UNREACHABLE}:
            self._troubles = 0 if outcome is not Outcome.SKIPPED else self._troubles
            return
        self._troubles += 1
        if self._troubles >= ALL_TROUBLED:
            failures = self._troubles - ALL_TROUBLED + 1
            self._limit.close(QUICK.after(failures, random=self._random, wish_s=wish_s))


_FOREVER = 3600.0
"""Nothing to do: a new plan wakes the writers."""


def key(action: actions.Action) -> Key:
    """Return which object an action writes; a subresource is one of its own."""
    match action:
        case actions.LabelNode():
            return "Node", action.node
        case (
            actions.CreateNodeRuntime() | actions.UpdateNodeRuntime() | actions.DeleteNodeRuntime()
        ):
            return "NodeRuntime", action.node
        case actions.CreateRuntimeClass() | actions.UpdateRuntimeClass():
            return "RuntimeClass", action.wanted.name
        case actions.DeleteRuntimeClass():
            return "RuntimeClass", action.name
        case actions.SetFinalizer():
            return "Shim", action.shim
        case actions.WriteShimStatus():
            return "Shim/status", action.shim
        case actions.EmitEvent():
            return EVENT, f"{action.kind}/{action.name}/{action.reason}/{action.message}"
        case _:
            assert_never(action)
