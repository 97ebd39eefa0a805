"""What the agent remembers between two turns, beside the journal: who was asked, told and fetched.

Owned by `loop`. Whatever an agent after us must know stands in the journal or in the status; the rest
is found out again. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

import structlog

from rcm_agent import errors
from rcm_agent.cluster import answers, decide, downloads, reasons, tell
from rcm_agent.cluster.answers import Answer, Say
from rcm_agent.cluster.decide import Key
from rcm_agent.records import Installed
from rcm_api import noderuntime
from rcm_api.noderuntime import Phase, ShimWanted

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Books:
    """The memory of one run of the agent."""

    def __init__(self) -> None:
        """Know nothing."""
        self.asked: dict[str, ShimWanted] = {}
        self.generation = 0
        self.said: dict[str, Answer] = {}
        self.pins: dict[Key, str] = {}
        self.prepared: set[Key] = set()
        self.sizes: dict[str, int] = {}
        """Of artifacts, in bytes, by SHA-256."""
        self.apart: set[str] = set()
        self.restarting: set[str] = set()
        self.counters = tell.Counters()
        self._restored = ""
        """UID of the object whose status was read."""

    def open(self, found: noderuntime.NodeRuntime) -> bool:
        """Take in what is asked; whether that is something else than before.

        The first time the object is seen, what an agent before us said of it is taken over, and
        nothing counts as new.
        """
        first = not self._restored
        if first:
            self._restored = found.metadata.uid or found.name
            for name, answer in answers.restored(found.status).items():
                self.said.setdefault(name, answer)
            self._pin(found)
            done = found.status
            self.counters = tell.Counters(
                restarts=self.counters.restarts + done.restarts,
                rollbacks=self.counters.rollbacks + done.rollbacks,
                repairs=self.counters.repairs + done.drift_repairs,
            )
        asked = {entry.name: entry for entry in found.spec.shims}
        changed = asked != self.asked and not first
        self.asked, self.generation = asked, found.metadata.generation
        return changed

    def _pin(self, found: noderuntime.NodeRuntime) -> None:
        for seen in found.status.shims:
            if seen.sha256:
                self.pins[seen.name, seen.observed_digest] = seen.sha256
                self.sizes[seen.sha256] = seen.size

    def say(self, plan: Mapping[str, Say], *, now: datetime) -> frozenset[str]:
        """Answer; returns artifacts that were fetched for questions nobody asks any more."""
        stale: set[str] = set()
        for name in self.said.keys() - plan.keys():
            stale.add(self.said.pop(name).sha256)
        for name, words in plan.items():
            former = self.said.get(name, Answer(name))
            answer = answers.next_answer(former, self.asked.get(name), words, now=now)
            answer = self._with_artifact(answer)
            if former.sha256 not in {"", answer.sha256} or words.phase is Phase.ABSENT:
                stale.add(former.sha256)
            self.said[name] = answer
            _tell(former, answer)
        return frozenset(stale - {""})

    def _with_artifact(self, answer: Answer) -> Answer:
        entry = self.asked.get(answer.name)
        if entry is None or answer.phase is Phase.FETCHING:
            return answer
        if answer.phase is Phase.ABSENT:
            return replace(answer, sha256="", size=0)
        sha256 = entry.artifact.sha256.lower() or self.pins.get((entry.name, entry.digest), "")
        size = self.sizes.get(sha256, 0)
        return replace(answer, sha256=sha256, size=size) if size else answer

    def fetched(self, done: downloads.Done, *, size: int, now: datetime) -> None:
        """Take in a download that ended."""
        key = (done.wanted.name, done.wanted.digest)
        if done.stored is not None:
            self.pins[key] = done.stored.digest
            self.sizes[done.stored.digest] = size
        elif done.error is not None and self._asks(key):
            self.fail(done.wanted.name, done.error, now=now)

    def _asks(self, key: Key) -> bool:
        entry = self.asked.get(key[0])
        return entry is not None and entry.digest == key[1]

    def fail(
        self,
        name: str,
        error: errors.AgentError,
        *,
        now: datetime,
        step: str = "",
    ) -> None:
        """Answer that it failed."""
        phase = Phase.ROLLED_BACK if isinstance(error, errors.RolledBack) else Phase.FAILED
        words = Say(phase, reasons.of(error, step=step), reasons.text(error))
        former = self.said.get(name, Answer(name))
        answer = answers.next_answer(former, self.asked.get(name), words, now=now)
        self.said[name] = replace(answer, time=now)
        _log.warning("shim failed", shim=name, reason=words.reason, problem=words.message)

    def joint(self, names: Iterable[str], *, failed: bool) -> None:
        """Remember who failed together, and who need not go alone any more."""
        together = frozenset(names)
        if failed and len(together) > 1:
            self.apart |= together
        elif not failed:
            self.apart -= together
        self.restarting -= together

    def count(self, *, restarts: int = 0, rollbacks: int = 0, repairs: int = 0) -> None:
        """Count."""
        self.counters = tell.Counters(
            restarts=self.counters.restarts + restarts,
            rollbacks=self.counters.rollbacks + rollbacks,
            repairs=self.counters.repairs + repairs,
        )

    def known(self, installed: Mapping[str, Installed]) -> decide.Known:
        """Return what a decision needs of this; the caller adds what the host says."""
        return decide.Known(
            asked=self.asked,
            installed=installed,
            said=self.said,
            pins=self.pins,
            prepared=frozenset(self.prepared),
            apart=frozenset(self.apart),
            restarting=frozenset(self.restarting),
        )


def _tell(former: Answer, answer: Answer) -> None:
    if (former.phase, former.reason, former.digest) != (answer.phase, answer.reason, answer.digest):
        _log.info(
            "shim",
            shim=answer.name,
            phase=answer.phase.value,
            reason=answer.reason,
            digest=answer.digest[:12],
            said=answer.message,
        )
