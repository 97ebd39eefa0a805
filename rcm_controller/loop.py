"""The controller's beat: look at the caches, decide, hand out what is due. One step at a time.

`run` gives it threads; the simulation and tests call `step` and `work` themselves, on one thread,
with a clock of their own. Nothing here remembers what was decided before: each plan starts from
the world as it is, whatever woke it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from rcm_api.client import api, backoff, errors, resources
from rcm_controller import (
    actions,
    apply,
    budget,
    clock,
    leader,
    metrics,
    order,
    pace,
    pending,
    refusals,
    rhythm,
    store,
    world,
)
from rcm_controller.pending import Outcome, Task

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

STANDBY_S = 0.25
"""How often a standby asks whether it leads now, and everybody whether the caches are synced."""

Decide = Callable[[world.World], Sequence[actions.Action]]


@dataclass(frozen=True, slots=True)
class Means:
    """What a controller works with."""

    client: api.Client
    caches: store.Store
    leadership: leader.Leadership
    time: clock.Clock
    random: backoff.Random
    told: metrics.Metrics
    decide: Decide
    policy: world.Policy
    writes_per_s: float = 50.0


class Controller:
    """One replica."""

    def __init__(self, means: Means) -> None:
        """Begin with nothing planned."""
        self._means = means
        self._time = means.time
        self._caches = means.caches
        self.limit = budget.Budget(per_s=means.writes_per_s, time=means.time)
        self.pending = pending.Pending(
            self.limit, time=means.time, random=means.random, told=means.told
        )
        self._applier = apply.Applier(
            means.client,
            means.caches,
            leadership=means.leadership,
            time=means.time,
            told=means.told,
        )
        self._pace = pace.Pace(time=means.time)
        self._rhythm = rhythm.Rhythm()
        self._term = 0
        """Of the last plan; another one begins with a fresh look."""
        self._planned = -1
        self._edits = -1
        """What the last plan knew."""
        self._failures = 0
        self._closed_until = 0.0
        """The server could not say what a decision needs to know."""
        self.stepped_at = means.time.monotonic()

    def step(self) -> float:
        """Plan if it is time to; return the seconds until the next step, sooner on a change."""
        self.stepped_at = self._time.monotonic()
        term = self._means.leadership.term()
        if term == 0:
            self.pending.clear()
            return STANDBY_S
        if not self._caches.synced():
            return STANDBY_S
        if self._closed_until > self.stepped_at:
            return self._closed_until - self.stepped_at
        if term != self._term:
            return self._begin(term)
        wait = self._wait(self.stepped_at, changed=self._caches.changes() != self._planned)
        if wait > 0.0:
            return wait
        error = self._applier.doubts.settle()
        if error is not None:
            return self._later("a write is in doubt", term, error)
        self._failures = 0
        self._plan(term)
        return self._wait(self._time.monotonic(), changed=False)

    def pause(self) -> float:
        """Return the seconds that a change must wait for its plan, so that more come together.

        Less once it is known to be an edit: ask again while you wait.
        """
        return self._wait(self._time.monotonic(), changed=True)

    def work(self) -> float:
        """Carry out one action; return the seconds until there may be another one."""
        task = self.pending.take()
        if not isinstance(task, Task):
            return task
        done = apply.Done(Outcome.FAILED)
        try:
            done = self._applier.apply(task)
        finally:
            self.pending.done(task, done.outcome, wish_s=done.wish_s)
        return 0.0

    def _wait(self, now: float, *, changed: bool) -> float:
        edited = self._caches.edits() != self._edits
        closed_s = self._closed_until - now
        return max(closed_s, self._rhythm.wait(now, changed=changed, edited=edited))

    def _begin(self, term: int) -> float:
        """Begin a term: know at least what the former leader wrote last."""
        try:
            for resource, cache in (
                (resources.SHIMS, self._caches.shims),
                (resources.NODERUNTIMES, self._caches.runtimes),
                (resources.RUNTIMECLASSES, self._caches.classes),
            ):
                _refresh(self._means.client, resource, cache)
        except errors.ApiError as error:
            return self._later("term not begun", term, error)
        self._failures = 0
        self._term = term
        self._rhythm.hurry()
        return 0.0

    def _later(self, what: str, term: int, error: errors.ApiError) -> float:
        """Return the seconds until the server may be asked again."""
        self._failures += 1
        _log.warning(what, term=term, problem=str(error))
        wait = pending.QUICK.after(
            self._failures, random=self._means.random, wish_s=error.retry_after_s
        )
        self._closed_until = self._time.monotonic() + wait
        return wait

    def _plan(self, term: int) -> None:
        began = self._time.monotonic()
        look = self.pending.look()
        self._planned, self._edits = self._caches.changes(), self._caches.edits()
        shims = self._caches.shims
        versions = shims.versions(shims.views())
        seen = self._caches.world(now=self._time.now(), policy=self._means.policy)
        decided = order.by_urgency(self._due(self._means.decide(seen), seen), seen)
        waiting = self.pending.put(self._tasks(decided, term, versions), look=look)
        ended = self._time.monotonic()
        self._rhythm.planned(began, ended, busy=waiting > 0, next_s=rhythm.soak_ends(seen))
        self._means.told.observe(metrics.PLANS, ended - began)
        self._means.told.show(metrics.PENDING, [((), float(waiting))])

    def _tasks(
        self, decided: Sequence[actions.Action], term: int, shims: Mapping[str, str]
    ) -> Sequence[Task]:
        """Name the state that was seen. A Node's is the fence against a leader of former times."""
        labelled = (action.node for action in decided if isinstance(action, actions.LabelNode))
        nodes = self._caches.nodes.versions(labelled)
        return [Task(action, term, _version(action, shims, nodes)) for action in decided]

    def _due(
        self, decided: Iterable[actions.Action], seen: world.World
    ) -> Iterable[actions.Action]:
        """Leave out what need not be written now, and add what the planner cannot know."""
        decided = tuple(decided)
        self._pace.keep(frozenset(seen.shims))
        refused = self._applier.refused.among(decided)
        marked = refusals.mark(decided, refused, seen)
        late = frozenset(_held(decided)) - refused.keys() | frozenset(
            action.shim
            for action in marked
            if isinstance(action, actions.WriteShimStatus) and not self._may_write(action, seen)
        )
        return [action for action in marked if self._worth(action, late)]

    def _may_write(self, action: actions.WriteShimStatus, seen: world.World) -> bool:
        former = seen.shims[action.shim].status
        return self._pace.may_write(action.shim, former, action.status)

    def _worth(self, action: actions.Action, late: frozenset[str]) -> bool:
        """A Shim whose status waits tells nothing either: events are turns of the status."""
        match action:
            case actions.WriteShimStatus():
                return action.shim not in late
            case actions.EmitEvent():
                waits = action.kind == "Shim" and action.name in late
                return not waits and self._applier.events.due(action)
            case _:
                return True


def _held(decided: Iterable[actions.Action]) -> Iterable[str]:
    """Return the Shims whose finalizer goes first; their status changes with it."""
    return (action.shim for action in decided if isinstance(action, actions.SetFinalizer))


def _refresh(client: api.Client, resource: resources.Resource, cache: store.Cache[Any]) -> None:
    pages = client.pages(resource)
    first = next(pages)
    items = (item for page in itertools.chain((first,), pages) for item in page.items)
    cache.merge(items, version=first.resource_version)


def _version(action: actions.Action, shims: Mapping[str, str], nodes: Mapping[str, str]) -> str:
    match action:
        case actions.SetFinalizer() | actions.WriteShimStatus():
            return shims.get(action.shim, "")
        case actions.LabelNode():
            return nodes.get(action.node, "")
        case _:
            return ""
