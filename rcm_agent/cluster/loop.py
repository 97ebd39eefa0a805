"""One node's agent: looks, decides, does and tells, one turn at a time.

`run` gives it threads; tests call `turn` themselves, on one thread, with a simulated host. A turn
ends when there is nothing to do now, and says when to look again; a changed object, a finished
download or a stop come sooner. The host's lock is held only while a turn, or a download, works.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from rcm_agent import desired, errors, gate, ports, settings
from rcm_agent.cluster import (
    books,
    decide,
    downloads,
    holding,
    mirror,
    operations,
    reasons,
    repair,
    sight,
    tell,
    telling,
    turn,
    wanted,
    watchers,
)
from rcm_agent.cluster import settings as rhythm
from rcm_agent.distro import site
from rcm_agent.host import entries, memory
from rcm_agent.work import Work
from rcm_api import conditions, noderuntime
from rcm_api.noderuntime import Wanted

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

MOST_ACTIONS = 50
"""In one turn; more means that something is decided again and again, and is left for later."""


@dataclass(frozen=True, slots=True)
class Means:
    """What an agent works with."""

    open: Callable[[], tuple[ports.Host, site.Site]]
    """Finds containerd; raises UnsupportedHost, or HostError without systemd."""
    chosen: settings.Settings
    seen: mirror.Mirror
    offer: Callable[[noderuntime.Status | None], None]
    """Takes the status to be written."""
    now: Callable[[], datetime]
    wake: Callable[[], None]
    """Has `turn` called soon."""
    observer: watchers.Observer = dataclasses.field(default_factory=watchers.Silent)
    node_uid: Callable[[], str] = str
    """Of the Node that we run on; empty: nobody can say."""
    facts: Callable[[site.Site | None, str], noderuntime.Facts] = lambda _site, _strategy: (
        noderuntime.Facts()
    )
    """What the node is, by containerd's site and how its configuration is edited."""
    end_orphans: Callable[[Work], int] = lambda _work: 0
    run: downloads.Run = downloads.in_thread
    stopping: telling.Stopping = telling.never


class Loop:
    """The agent of one node."""

    def __init__(self, means: Means) -> None:
        """Begin with nothing known."""
        self._means = means
        self._books = books.Books()
        self._eyes = sight.Eyes()
        self._lock = holding.Lock()
        self._teller = telling.Teller(means.observer)
        self._downloads = downloads.Downloads(
            self._lock,
            means.observer,
            wake=means.wake,
            run=means.run,
            stopping=means.stopping,
        )
        self._operations = operations.Operations(
            self._books, means.observer, self._teller, now=means.now
        )
        self._repair = repair.Repair(self._books, means.observer, self._operations)
        self._opened: tuple[ports.Host, site.Site] | None = None
        self._supported = tell.Verdict()
        self._healthy = tell.Verdict()
        self._recovered = False
        self._busy_s = 0.0
        self._started: tuple[str, int] | None = None
        """Boot and start of the containerd that was seen last."""
        self._sight: sight.Sight | None = None
        self._work: Work | None = None
        self._status = noderuntime.Status()

    def turn(self) -> float:
        """Do what is to be done now; return the seconds until the next look.

        Raises:
            AgentError: never; what fails is told in the status.
        """
        self._read()
        try:
            wait = self._turn()
        except errors.Busy as error:
            wait = self._wait_for(error)
        except errors.AgentError as error:
            self._healthy = tell.Verdict(False, reasons.of(error), reasons.text(error))  # noqa: FBT003
            wait = rhythm.BROKEN_S
        self._publish()
        return wait

    def _wait_for(self, error: errors.Busy) -> float:
        """Another agent works on this host: an old pod that is ending, or a person."""
        self._busy_s += rhythm.BUSY_S
        if self._busy_s <= rhythm.BUSY_S:
            _log.info("another agent works on this host", problem=error.cause)
        if self._busy_s > rhythm.BUSY_LONG_S:
            self._healthy = tell.Verdict(False, reasons.BUSY, reasons.text(error))  # noqa: FBT003
        return rhythm.BUSY_S

    def _read(self) -> None:
        """Take in the object, unless it is another node's, or on its way out."""
        found = self._means.seen.get()
        if found is None or found.metadata.deletion_timestamp is not None:
            return
        uid = self._means.node_uid()
        if uid and found.spec.node_uid != uid:
            return
        conflict = conditions.find(found.status.conditions, "Conflict")
        if not self._books.generation and conflict is not None and conflict.last_transition_time:
            since = self._means.now() - conflict.last_transition_time
            self._repair.resume(max(since.total_seconds(), 0.0))
        if self._books.open(found):
            self._repair.forgive()

    def _turn(self) -> float:
        if self._opened is None:
            self._opened = self._locate()
        if self._opened is None:
            return rhythm.LOCATE_S
        host, where = self._opened
        with self._lock.held(host):
            self._busy_s = 0.0
            work = Work(host, where, memory.Memory(host.kernel), self._means.chosen, self._teller)
            self._work = work
            return self._serve(work)

    def _locate(self) -> tuple[ports.Host, site.Site] | None:
        try:
            found = self._means.open()
        except (errors.UnsupportedHost, errors.HostError) as error:
            if self._supported.good:
                _log.error("this host cannot be served", problem=reasons.text(error))
            self._supported = tell.Verdict(False, reasons.of(error), reasons.text(error))  # noqa: FBT003
            return None
        self._supported = tell.Verdict()
        return found

    def _serve(self, work: Work) -> float:
        self._recover(work)
        plan = self._decide(work)
        if self._moved(work):
            return 0.0
        self._sweep(work)
        actions = 0
        while not self._means.stopping() and self._act(work, plan):
            if work.memory.journal.operation is not None:
                return self._cut(work)
            actions += 1
            if actions == MOST_ACTIONS:
                _log.error("too much is decided in one turn", shims=sorted(plan.say))
                break
            plan = self._decide(work)
        self._tidy(work)
        if self._operations.restarted:
            self._started, self._operations.restarted = self._start_of(), False
        if self._sight is not None and self._sight.handlers is None:
            return rhythm.GATE_S
        return rhythm.GATE_S if plan.waits or self._repair.waits else rhythm.LOOK_S

    def _moved(self, work: Work) -> bool:
        """Tell whether an update put containerd's configuration or socket elsewhere."""
        started = self._start_of()
        foreign = not self._operations.restarted and None not in {self._started, started}
        if not foreign or started == self._started:
            return False
        found = self._locate()
        if found is not None and found[1] == work.site:
            return False
        _log.warning("containerd is another one now", former=work.site.evidence)
        self._opened, self._started = found, None
        return True

    def _cut(self, work: Work) -> float:
        """An operation is not over: the host waits for its former, or its new, state."""
        text = "an operation could be neither finished nor undone; it is tried again"
        self._decide(work)
        self._healthy = tell.Verdict(False, reasons.DEGRADED, text)  # noqa: FBT003
        return rhythm.BROKEN_S

    def _recover(self, work: Work) -> None:
        """Finish or undo what a killed agent left; nothing else is done before that."""
        if self._recovered and work.memory.journal.operation is None:
            return
        self._operations.recover(work)
        self._recovered = True

    def _decide(self, work: Work) -> decide.Plan:
        """Look at the host and decide; what is said of the Shims follows from that."""
        self._collect(work)
        known = self._known(work)
        plan = decide.plan(known)
        if plan.ask_gate:
            lost = gate.lost(work.host)
            known = dataclasses.replace(known, blockers=gate.names(lost))
            plan = decide.plan(known)
        for artifact in self._books.say(plan.say, now=self._means.now()):
            self._operations.drop(work, artifact, needed=decide.needed(known))
        return plan

    def _known(self, work: Work) -> decide.Known:
        leaving = frozenset(
            shim.handler
            for shim in work.current.shims
            if (entry := self._books.asked.get(shim.name)) is not None
            and entry.phase is Wanted.ABSENT
        )
        seen = self._eyes.look(work, leaving=leaving)
        self._sight = seen
        self._judge(seen)
        broken = self._repair.look(work, seen)
        known = self._books.known({shim.name: shim for shim in work.current.shims})
        return dataclasses.replace(
            known,
            stored=seen.stored,
            users=seen.users,
            broken=broken,
            spent=turn.spent(work) > 0,
            down=seen.handlers is None,
        )

    def _judge(self, seen: sight.Sight) -> None:
        status = seen.observed.status
        if status is None:
            text = f"CRI does not answer; {seen.observed.unit.name} is {seen.observed.unit.active_state}"
            self._healthy = tell.Verdict(False, reasons.CONTAINERD_DOWN, text)  # noqa: FBT003
        elif not status.runtime_ready:
            text = "CRI answers, and says that the runtime is not ready"
            self._healthy = tell.Verdict(False, reasons.CONTAINERD_DOWN, text)  # noqa: FBT003
        else:
            self._healthy = tell.Verdict()

    def _act(self, work: Work, plan: decide.Plan) -> bool:
        """Do one thing; whether something was done, so that it is time to look again."""
        self._fetch(work, plan)
        if plan.prepare:
            self._prepare(work, plan.prepare[0])
            return True
        work = dataclasses.replace(work, keep=self._kept(work))
        if plan.acts:
            self._publish()
            self._operations.change(work, plan)
            return True
        if self._repair.due:
            self._publish()
            return self._repair.mend(work)
        return False

    def _kept(self, work: Work) -> frozenset[str] | None:
        """Return what cleaning must leave in the store: while something comes in, everything."""
        if self._downloads.busy():
            return None
        return decide.needed(self._books.known({s.name: s for s in work.current.shims}))

    def _fetch(self, work: Work, plan: decide.Plan) -> None:
        """Have downloads under way for what is to be fetched, and no others."""
        damaged = self._repair.damaged(work)
        self._downloads.only(frozenset(plan.fetch) | damaged.keys())
        for name in plan.fetch:
            try:
                self._start(work, wanted.read(self._books.asked[name]))
            except errors.AgentError as error:
                self._books.fail(name, error, now=self._means.now())
        for one in damaged.values():
            self._start(work, one)

    def _start(self, work: Work, one: desired.Wanted) -> None:
        work = dataclasses.replace(
            work, chosen=dataclasses.replace(work.chosen, trust_on_first_use=True)
        )
        if self._downloads.start(work, one):
            self._publish()

    def _collect(self, work: Work) -> None:
        for done in self._downloads.take():
            outcome = watchers.DONE if done.error is None else reasons.of(done.error)
            self._means.observer.operation("fetch", outcome, done.seconds)
            size = 0
            if done.stored is not None:
                meta = entries.read_meta(work.host.kernel, done.stored.digest)
                size = meta.size if meta is not None else 0
            self._books.fetched(done, size=size, now=self._means.now())
            self._repair.fetched(work, done)

    def _prepare(self, work: Work, name: str) -> None:
        """Check and probe what is in the store."""
        entry = self._books.asked[name]
        self._operations.prepare(work, entry)

    def _tidy(self, work: Work) -> None:
        """Where nothing is wanted and nothing is there, nothing of ours stays."""
        idle = not work.current.shims and not self._downloads.busy()
        asked = any(e.phase is not Wanted.ABSENT for e in self._books.asked.values())
        if idle and not asked and self._sight is not None and self._sight.stored:
            work.keep_artifacts(frozenset())

    def _sweep(self, work: Work) -> None:
        """After a start of containerd that was not ours, end what it has forgotten."""
        started = self._start_of()
        if started is None or started == self._started:
            return
        ours, self._operations.restarted = self._operations.restarted, False
        if ours or not work.current.shims or self._swept(work):
            self._started = started

    def _swept(self, work: Work) -> bool:
        """End what containerd has forgotten; False when it must be tried again."""
        try:
            ended = self._means.end_orphans(work)
        except errors.AgentError as error:
            _log.warning("cannot look for forgotten processes", problem=reasons.text(error))
            return False
        if ended:
            self._means.observer.orphans(ended)
            _log.warning("ended processes that containerd had forgotten", processes=ended)
        return True

    def _start_of(self) -> tuple[str, int] | None:
        """Return which containerd was seen last; None: none that answers."""
        seen = self._sight
        if seen is None or seen.handlers is None:
            return None
        return seen.observed.boot_id, seen.observed.unit.started_us

    def _publish(self) -> None:
        """Make the status of what is known now, and have it written if it is another one."""
        found = self._means.seen.get()
        if not self._books.generation or found is None:
            return
        work = self._work
        installed = {} if work is None else {s.name: s for s in work.current.shims}
        where = self._opened[1] if self._opened is not None else None
        strategy = work.current.strategy if work is not None else ""
        story = tell.Story(
            generation=self._books.generation,
            facts=self._means.facts(where, strategy),
            answers=self._books.said if self._supported.good else {},
            installed=installed,
            users=self._sight.users if self._sight is not None else {},
            dead=self._repair.dead,
            counters=self._books.counters,
            supported=self._supported,
            healthy=self._healthy,
            conflict=self._repair.conflict,
        )
        former = self._status if self._status.conditions else found.status
        status = tell.status(story, former, now=self._means.now())
        if status != self._status:
            self._status = status
            self._means.observer.told(status)
        self._means.offer(status)
