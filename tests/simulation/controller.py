"""One controller process: a lease, a cache that lags, and the planner between them.

It looks, decides and writes as the runtime does, and is held up, killed, frozen and lied to on the
way. `Faults` say how often; the judge is told of each write before anybody else acts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rcm_controller import actions, pending
from rcm_controller.world import Policy, World
from tests.simulation.cache import Cache
from tests.simulation.cluster import KINDS, Change, Refused
from tests.simulation.scheduler import Scheduler

Decide = Callable[[World], Iterable[actions.Action]]

LEASE_S, RENEW_S, RETRY_S = 15.0, 10.0, 2.0
"""Duration, deadline and period of client-go's leader election."""
CALM_RETRY_S = 5.0
"""The period while no lease write fails: nothing but time would be lost by asking more often."""
FREEZE_S = 120.0
"""faults.md R10: a frozen watch is found by then, and begun anew."""


@dataclass(slots=True)
class Faults:
    """How often what goes wrong; all zero: a quiet day."""

    write: float = 0.0
    """Of a write: refused, failed, done without a reply, held up, or the process dies."""
    lease: float = 0.0
    stale_s: float = 0.0
    """How old a list may be: of an API server that lags behind the one that was asked before."""
    lag_s: float = 0.3


class Controller:
    """A replica of the controller."""

    def __init__(
        self,
        name: str,
        scheduler: Scheduler,
        *,
        decide: Decide,
        judge: Judge,
        faults: Faults,
        policy: Policy,
    ) -> None:
        self.name, self.scheduler, self.cluster = name, scheduler, scheduler.cluster
        self.decide, self.judge, self.faults, self.policy = decide, judge, faults, policy
        self.skew = 0.0
        self.steps = 0
        self.idle_looks = 0
        """Looks in a row that asked for nothing."""
        self.life = 0
        self.cluster.listeners.append(self.wake)
        self.start()

    def start(self) -> None:
        """Begin with empty hands."""
        self.cache = Cache(self.cluster)
        for kind in KINDS:
            self.list_anew(kind)
        self.life += 1
        self.renewed = float("-inf")
        self.lease_seen = (self.cluster.lease.revision, self.cluster.now)
        self.held_until = 0.0
        self.pending: Sequence[actions.Action] = ()
        self.view: dict[str, dict[str, Any]] = {}
        """What the cache held when it was last decided."""
        self.next_look = 0.0
        self.sleeps_until = float("inf")
        """Nothing is on its way; a change wakes the process earlier."""
        self._again(self.scheduler.random.uniform(0, 2), self._elect)

    def _again(self, seconds: float, call: Callable[[], None]) -> None:
        life = self.life

        def unless_dead() -> None:
            if self.life != life:
                return
            if self.cluster.now < self.held_until:
                self._again(self.held_until - self.cluster.now, call)
            else:
                call()

        self.scheduler.after(seconds, unless_dead)

    def kill(self) -> None:
        """End the process without a word; another one takes its place."""
        self.scheduler.tell(self.name, "killed")
        self.life += 1
        self.renewed = float("-inf")
        self.scheduler.after(self.scheduler.random.uniform(0.5, 30), self.start)

    def hold(self, seconds: float) -> None:
        """Stop the process for a while, as SIGSTOP does."""
        self.scheduler.tell(self.name, f"held {seconds:.1f} s")
        self.held_until = self.cluster.now + seconds

    def list_anew(self, kind: str) -> None:
        """List, as at the start and after a 410."""
        self.cache.list_anew(kind, self.scheduler.random.random() * self.faults.stale_s)

    def freeze(self, kind: str) -> None:
        """Let a watch go silent until its deadline."""
        self.scheduler.tell(self.name, f"frozen {kind}")
        self.cache.lag[kind] = FREEZE_S
        cache = self.cache

        def thaw() -> None:
            cache.lag[kind] = self.faults.lag_s

        self.scheduler.after(self.scheduler.random.uniform(5, FREEZE_S), thaw)

    @property
    def leads(self) -> bool:
        """Whether this process may write, as far as it knows."""
        return self.cluster.now - self.renewed < RENEW_S

    def _elect(self) -> None:
        lease, now = self.cluster.lease, self.cluster.now
        if self.lease_seen[0] != lease.revision:
            self.lease_seen = (lease.revision, now)
        mine = lease.holder == self.name
        free = not lease.holder or now - self.lease_seen[1] > LEASE_S
        if (mine or free) and not self.scheduler.chance(self.faults.lease):
            self._take(fresh=not self.leads)
        self._again(RETRY_S if self.faults.lease else CALM_RETRY_S, self._elect)

    def _take(self, *, fresh: bool) -> None:
        lease = self.cluster.lease
        lease.holder, lease.revision = self.name, lease.revision + 1
        self.lease_seen = (lease.revision, self.cluster.now)
        self.renewed = self.cluster.now
        if fresh:
            self.scheduler.tell(self.name, "leads")
            self.cache.hurry()
            self.pending = ()  # decided in another term
            self.next_look = 0.0
            self._sleep(self.scheduler.random.uniform(0, 1))

    def wake(self) -> None:
        """Look soon: something has changed."""
        if self.leads and self.sleeps_until > self.cluster.now + 1:
            self._sleep(self.scheduler.random.uniform(0.02, 1.0))

    def _sleep(self, seconds: float) -> None:
        self.sleeps_until = at = self.cluster.now + seconds

        def unless_woken() -> None:
            if self.sleeps_until == at:
                self._look()

        self._again(seconds, unless_woken)

    def _look(self) -> None:
        """Decide on what is known, and begin to do it; go on while there is anything to come."""
        self.sleeps_until = float("inf")
        if not self.leads:
            self.pending = ()
            return
        if not self.pending:
            self._set_lag()
            if self.cache.catch_up() or self.cluster.now >= self.next_look:
                self._plan()
                self.next_look = self.cluster.now + min(60, 2 * 2 ** min(self.idle_looks, 5))
        self._write()
        busy = self.pending or self.cache.is_behind()
        rest = max(0.0, self.next_look - self.cluster.now)
        self._sleep(self.scheduler.random.uniform(0.02, 1.0) if busy else rest)

    def _set_lag(self) -> None:
        for kind in KINDS:
            if self.cache.lag[kind] < FREEZE_S:
                self.cache.lag[kind] = self.scheduler.random.random() * self.faults.lag_s

    def _plan(self) -> None:
        self.steps += 1
        known = self.cache.objects
        world = World(
            now=self.cluster.time(self.skew),
            shims=known["shims"],
            nodes=known["nodes"],
            runtimes=known["runtimes"],
            classes=known["classes"],
            policy=self.policy,
        )
        self.pending = self._first_of_each(self.decide(world))
        self.idle_looks = 0 if self.pending else self.idle_looks + 1

    def _first_of_each(self, decided: Iterable[actions.Action]) -> Sequence[actions.Action]:
        """Of several writes of one object the first one counts, as in `pending`."""
        found: dict[object, actions.Action] = {}
        for action in decided:
            found.setdefault(pending.key(action), action)
        if found:
            self.view = {kind: dict(known) for kind, known in self.cache.objects.items()}
        return tuple(found.values())

    def _write(self) -> None:
        """Do what was decided; whatever is left after a fault is decided anew."""
        while self.pending and self.leads and self.cluster.now >= self.held_until:
            action, self.pending = self.pending[0], self.pending[1:]
            if self.scheduler.chance(self.faults.write):
                self._badly(action)
            else:
                self._well(action)

    def _well(self, action: actions.Action, *, reply: bool = True) -> None:
        try:
            self._refuse_old_view(action)
            written = self.judge.write(self, action)
        except Refused as refusal:
            self.scheduler.tell(self.name, ("refused", str(refusal), action))
            return
        if written is None:
            return
        self.cache.take(*written)
        if not reply:
            self.scheduler.tell(self.name, "lost the reply, and read the object again")

    def _refuse_old_view(self, action: actions.Action) -> None:
        """Shims and Nodes are written with the version that was looked at, as `apply` does."""
        if isinstance(action, actions.SetFinalizer | actions.WriteShimStatus):
            kind, name = "shims", action.shim
        elif isinstance(action, actions.LabelNode):
            kind, name = "nodes", action.node
        else:
            return
        if self.view[kind].get(name) is not self.cluster.objects[kind].get(name):
            raise Refused(f"{kind}/{name} has been changed meanwhile")

    def _badly(self, action: actions.Action) -> None:
        kind = self.scheduler.random.choice(("failed", "lost", "late", "held", "killed", "rest"))
        self.scheduler.tell(self.name, (kind, action))
        match kind:
            case "failed":
                return
            case "rest":
                self.pending = ()
            case "lost":
                self._well(action, reply=False)
            case "late":
                self.pending = (action, *self.pending)
                self.hold(self.scheduler.random.uniform(0.1, 3))
            case "held":
                self.pending = (action, *self.pending)
                self.hold(self.scheduler.random.uniform(5, 60))
            case _:
                self._well(action, reply=False)
                self.kill()


class Judge:
    """Carries writes out, and breaks off when one of them breaks an invariant."""

    def write(self, controller: Controller, action: actions.Action) -> tuple[str, Change] | None:
        """Return the object after the write."""
        raise NotImplementedError
