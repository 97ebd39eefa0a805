"""Carries out what `decide` chose, and keeps the books about it.

Called by `loop`. Every error ends here, in an answer; only `Busy` and an unusable host go further.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime

import structlog

from rcm_agent import desired, errors, fetch, session
from rcm_agent.cluster import books, decide, reasons, telling, turn, wanted, watchers
from rcm_agent.cluster.answers import Say
from rcm_agent.work import Work
from rcm_api.noderuntime import Phase, ShimWanted

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Operations:
    """The hands of one agent."""

    def __init__(
        self,
        kept: books.Books,
        observer: watchers.Observer,
        teller: telling.Teller,
        *,
        now: Callable[[], datetime],
    ) -> None:
        """Keep `kept`."""
        self._books = kept
        self._observer = observer
        self._teller = teller
        self._now = now
        self.restarted = False
        """We restarted containerd since somebody looked."""

    def recover(self, work: Work) -> None:
        """Finish or undo what was left, and count what that took.

        Raises:
            Degraded, HostError: the host could not be put back yet.
        """
        pending = work.memory.journal.operation is not None
        began = work.host.machine.uptime_s()
        outcome = watchers.DONE
        try:
            with self._counting(work):
                session.recover(work)
        except errors.RolledBack as error:
            outcome = reasons.of(error)
            self._rolled_back()
        except errors.AgentError as error:
            outcome = reasons.of(error)
            raise
        finally:
            if pending:
                seconds = work.host.machine.uptime_s() - began
                self._observer.operation("recover", outcome, seconds)

    def prepare(self, work: Work, entry: ShimWanted) -> None:
        """Check and probe what is in the store; what does not run here is said at once."""
        key = (entry.name, entry.digest)
        try:
            one = wanted.read(entry, sha256=self._books.pins.get(key, ""))
            found = fetch.prepare(work, one)
        except errors.AgentError as error:
            self._books.fail(entry.name, error, now=self._now())
            return
        self._books.pins[key] = found.artifact
        self._books.prepared.add(key)

    def change(self, work: Work, plan: decide.Plan) -> None:
        """Install and remove what the plan says, in one operation."""
        chosen = dataclasses.replace(
            work.chosen, allow_disruption=plan.allow, trust_on_first_use=True
        )
        work = dataclasses.replace(work, chosen=chosen)
        names = {*plan.install, *plan.remove}
        try:
            outcome = self.run(
                work,
                "apply" if plan.install else "remove",
                self._wanted(plan),
                gone=frozenset(plan.remove),
            )
        except errors.Blocked as error:
            _log.info(
                "a restart would end running containers", shims=sorted(names), for_=error.cause
            )
            self._books.restarting |= names
            return
        self._books.joint(names, failed=outcome.error is not None)
        for name, failure in outcome.failed.items():
            self._answer(plan, name, failure, alone=len(names) == 1)

    def run(
        self,
        work: Work,
        kind: watchers.Kind,
        shims: list[desired.Wanted],
        *,
        gone: frozenset[str] = frozenset(),
    ) -> turn.Outcome:
        """Do one operation, and count it.

        Raises:
            Blocked: the restart would end running containers; nothing was touched.
        """
        began, self._teller.failed = work.host.machine.uptime_s(), ""
        with self._counting(work):
            outcome = turn.operate(work, shims, gone)
        if isinstance(outcome.error, errors.RolledBack):
            self._rolled_back()
        reason = watchers.DONE if outcome.error is None else self.reason(outcome.error)
        seconds = work.host.machine.uptime_s() - began
        self._observer.operation(kind, reason, seconds)
        _log.info("operation", kind=kind, outcome=reason, seconds=round(seconds, 3))
        return outcome

    def reason(self, error: errors.AgentError) -> str:
        """Return the word for an error of the last operation."""
        return reasons.of(error, step=self._teller.failed)

    def _wanted(self, plan: decide.Plan) -> list[desired.Wanted]:
        found = (self._books.asked[name] for name in plan.install)
        pins = self._books.pins
        return [wanted.read(e, sha256=pins.get((e.name, e.digest), "")) for e in found]

    def _answer(
        self, plan: decide.Plan, name: str, error: errors.AgentError, *, alone: bool
    ) -> None:
        """A removal that failed beside others is tried alone before it counts as failed."""
        if name in plan.remove and not alone:
            said = Say(Phase.DRAINING, self.reason(error), reasons.text(error))
            self._books.say({**plan.say, name: said}, now=self._now())
            return
        self._books.fail(name, error, now=self._now(), step=self._teller.failed)

    def _rolled_back(self) -> None:
        self._observer.rollback()
        self._books.count(rollbacks=1)

    @contextmanager
    def _counting(self, work: Work) -> Generator[None]:
        """Count the restarts of containerd meanwhile."""
        began = work.host.machine.uptime_s()
        try:
            yield
        finally:
            restarts = turn.restarts_since(work, began)
            self._books.count(restarts=restarts)
            self.restarted = self.restarted or restarts > 0
            for _ in range(restarts):
                self._observer.restart()
