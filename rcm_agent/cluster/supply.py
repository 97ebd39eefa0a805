"""Keeps the store as the questions need it: downloads begun, collected and cancelled, leftovers gone.

Owned by `loop`, called with the lock held.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime

from rcm_agent import desired, errors
from rcm_agent.cluster import books, decide, downloads, reasons, repair, wanted, watchers
from rcm_agent.host import entries, store
from rcm_agent.work import Work
from rcm_api.noderuntime import Wanted


class Supply:
    """What comes in, and what goes."""

    def __init__(
        self,
        kept: books.Books,
        mended: repair.Repair,
        incoming: downloads.Downloads,
        *,
        observer: watchers.Observer,
        now: Callable[[], datetime],
    ) -> None:
        """Begin with nothing under way."""
        self._books = kept
        self._repair = mended
        self._downloads = incoming
        self._observer = observer
        self._now = now

    def collect(self, work: Work) -> None:
        """Take in what has ended."""
        for done in self._downloads.take():
            outcome = watchers.DONE if done.error is None else reasons.of(done.error)
            self._observer.operation("fetch", outcome, done.seconds)
            size = 0
            if done.stored is not None:
                meta = entries.read_meta(work.host.kernel, done.stored.digest)
                size = meta.size if meta is not None else 0
            self._books.fetched(done, size=size, now=self._now())
            self._repair.fetched(work, done)

    def fetch(self, work: Work, plan: decide.Plan) -> bool:
        """Have downloads under way for what is to be fetched, and no others; whether one is new."""
        damaged = self._repair.damaged(work)
        self._downloads.only(frozenset(plan.fetch) | damaged.keys())
        wishes = list(damaged.values())
        for name in plan.fetch:
            try:
                wishes.append(wanted.read(self._books.asked[name]))
            except errors.AgentError as error:
                self._books.fail(name, error, now=self._now())
        begun = [self._start(work, one) for one in wishes]
        return any(begun)

    def kept(self, work: Work) -> frozenset[str] | None:
        """Return what cleaning must leave in the store: while something comes in, everything."""
        if self._downloads.busy():
            return None
        return decide.needed(self._books.known({s.name: s for s in work.current.shims}))

    def drop(self, work: Work, stale: frozenset[str], known: decide.Known) -> None:
        """Take artifacts out of the store that were fetched ahead, and nobody wants any more."""
        used = {shim.artifact for shim in work.current.shims}
        for artifact in stale - used - decide.needed(known):
            store.remove(work.host.kernel, artifact)

    def tidy(self, work: Work, stored: frozenset[str]) -> None:
        """Where nothing is wanted and nothing is there, nothing of ours stays."""
        asked = any(e.phase is not Wanted.ABSENT for e in self._books.asked.values())
        if stored and not (asked or work.current.shims or self._downloads.busy()):
            work.keep_artifacts(frozenset())

    def _start(self, work: Work, one: desired.Wanted) -> bool:
        chosen = dataclasses.replace(work.chosen, trust_on_first_use=True)
        return self._downloads.start(dataclasses.replace(work, chosen=chosen), one)
