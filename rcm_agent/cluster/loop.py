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

from rcm_agent import errors, gate, ports, settings
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
    starts,
    supply,
    tell,
    telling,
    turn,
    voice,
    watchers,
)
from rcm_agent.cluster import settings as rhythm
from rcm_agent.distro import site
from rcm_agent.host import memory
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
    offer: voice.Offer
    now: Callable[[], datetime]
    wake: Callable[[], None]
    """Has `turn` called soon."""
    observer: watchers.Observer = dataclasses.field(default_factory=watchers.Silent)
    node_uid: Callable[[], str] = str
    """Of the Node that we run on; empty: nobody can say."""
    facts: voice.Facts = lambda _site, _strategy: noderuntime.Facts()
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
        self._operations = operations.Operations(
            self._books, means.observer, self._teller, now=means.now
        )
        self._repair = repair.Repair(self._books, means.observer, self._operations)
        self._supply = supply.Supply(
            self._books,
            self._repair,
            self._downloads(),
            observer=means.observer,
            now=means.now,
        )
        self._starts = starts.Starts(means.end_orphans, means.observer)
        self._voice = voice.Voice(
            means.seen, means.offer, facts=means.facts, observer=means.observer, now=means.now
        )
        self._opened: tuple[ports.Host, site.Site] | None = None
        self._recovered = False
        self._busy_s = 0.0
        self._sight: sight.Sight | None = None

    def turn(self) -> float:
        """Do what is to be done now; return the seconds until the next look.

        What fails is told in the status.
        """
        self._read()
        try:
            wait = self._turn()
        except errors.Busy as error:
            wait = self._wait_for(error)
        except errors.AgentError as error:
            self._voice.ill(error)
            wait = rhythm.BROKEN_S
        self._publish()
        return wait

    def _downloads(self) -> downloads.Downloads:
        means = self._means
        return downloads.Downloads(
            self._lock,
            means.observer,
            wake=means.wake,
            run=means.run,
            stopping=means.stopping,
        )

    def _wait_for(self, error: errors.Busy) -> float:
        """Another agent works on this host: an old pod that is ending, or a person."""
        self._busy_s += rhythm.BUSY_S
        if self._busy_s <= rhythm.BUSY_S:
            _log.info("another agent works on this host", problem=error.cause)
        if self._busy_s > rhythm.BUSY_LONG_S:
            self._voice.ill(error)
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
            return self._serve(
                Work(host, where, memory.Memory(host.kernel), self._means.chosen, self._teller)
            )

    def _locate(self) -> tuple[ports.Host, site.Site] | None:
        try:
            found = self._means.open()
        except (errors.UnsupportedHost, errors.HostError) as error:
            if self._voice.supported.good:
                _log.error("this host cannot be served", problem=reasons.text(error))
            self._voice.unsupported(error)
            return None
        self._voice.supported = tell.Verdict()
        return found

    def _serve(self, work: Work) -> float:
        self._recover(work)
        plan = self._decide(work)
        if self._moved(work):
            return 0.0
        self._starts.sweep(work, self._sight)
        actions = 0
        while not self._means.stopping() and self._act(work, plan):
            if work.memory.journal.operation is not None:
                return self._cut(work)
            actions += 1
            if actions == MOST_ACTIONS:
                _log.error("too much is decided in one turn", shims=sorted(plan.say))
                break
            plan = self._decide(work)
        return self._rest(work, plan)

    def _rest(self, work: Work, plan: decide.Plan) -> float:
        """Nothing is to be done now: tidy up, and say when to look again."""
        if self._operations.restarted:
            self._operations.restarted = False
            self._starts.sweep(work, self._sight)
        seen = self._sight
        if seen is not None:
            self._supply.tidy(work, seen.stored)
        waits = plan.waits or self._repair.waits or seen is None or seen.handlers is None
        return rhythm.GATE_S if waits else rhythm.LOOK_S

    def _recover(self, work: Work) -> None:
        """Finish or undo what a killed agent left; nothing else is done before that."""
        if self._recovered and work.memory.journal.operation is None:
            return
        self._operations.recover(work)
        self._recovered = True

    def _cut(self, work: Work) -> float:
        """An operation is not over: the host waits for its former, or its new, state."""
        self._decide(work)
        self._starts.sweep(work, self._sight)
        self._voice.cut()
        return rhythm.BROKEN_S

    def _moved(self, work: Work) -> bool:
        """Tell whether an update put containerd's configuration or socket elsewhere."""
        ours, self._operations.restarted = self._operations.restarted, False
        if ours or not self._starts.foreign(self._sight):
            return False
        found = self._locate()
        if found is not None and found[1] == work.site:
            return False
        _log.warning("containerd is another one now", former=work.site.evidence)
        self._opened = found
        self._starts.forget()
        return True

    def _decide(self, work: Work) -> decide.Plan:
        """Look at the host and decide; what is said of the Shims follows from that."""
        self._supply.collect(work)
        known = self._known(work)
        plan = decide.plan(known)
        if plan.ask_gate:
            lost = gate.lost(work.host)
            known = dataclasses.replace(known, blockers=gate.names(lost))
            plan = decide.plan(known)
        self._supply.drop(work, self._books.say(plan.say, now=self._means.now()), known)
        return plan

    def _known(self, work: Work) -> decide.Known:
        asked, shims = self._books.asked, work.current.shims
        leaving = frozenset(
            shim.handler
            for shim in shims
            if shim.name in asked and asked[shim.name].phase is Wanted.ABSENT
        )
        seen = self._sight = self._eyes.look(work, leaving=leaving)
        self._voice.look(work.current, seen)
        return dataclasses.replace(
            self._books.known({shim.name: shim for shim in shims}),
            stored=seen.stored,
            users=seen.users,
            broken=self._repair.look(work, seen),
            spent=turn.spent(work) > 0,
            down=seen.handlers is None,
        )

    def _act(self, work: Work, plan: decide.Plan) -> bool:
        """Do one thing; whether something was done, so that it is time to look again."""
        if self._supply.fetch(work, plan):
            self._publish()
        if plan.prepare:
            self._operations.prepare(work, self._books.asked[plan.prepare[0]])
            return True
        work = dataclasses.replace(work, keep=self._supply.kept(work))
        if plan.acts:
            self._publish()
            if plan.remove:
                self._starts.sweep_now(work)
            self._operations.change(work, plan)
            return True
        if self._repair.due:
            self._publish()
            return self._repair.mend(work)
        return False

    def _publish(self) -> None:
        where = self._opened[1] if self._opened is not None else None
        self._voice.publish(self._books, self._repair, where)
