"""The status of this node's NodeRuntime, out of what is known. Pure.

Called by `loop` whenever something may have changed; `writer` sends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from rcm_agent.cluster.answers import Answer, Answers
from rcm_agent.records import Installed
from rcm_api import conditions, noderuntime
from rcm_api.conditions import FALSE, TRUE, Condition
from rcm_api.noderuntime import ShimObserved

MESSAGE = 256
REASON = 64
WORD = 128
CONDITION = 384
"""Characters. Of a condition's message the schema would take more; the object shall stay small."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What the status counts, for as long as its object lives."""

    restarts: int = 0
    rollbacks: int = 0
    repairs: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition: whether all is well, and if not, why."""

    good: bool = True
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that a status is made from."""

    generation: int
    facts: noderuntime.Facts
    answers: Answers
    installed: Mapping[str, Installed]
    users: Mapping[str, int] = field(default_factory=dict[str, int])
    dead: frozenset[str] = frozenset()
    """Installed Shims that do not work now."""
    counters: Counters = Counters()
    supported: Verdict = Verdict()
    healthy: Verdict = Verdict()
    conflict: Verdict = Verdict()


def status(story: Story, former: noderuntime.Status, *, now: datetime) -> noderuntime.Status:
    """Return the status; times of conditions that stay as they were are those of `former`."""
    found = [
        _condition("Healthy", story.healthy, "ContainerdReady"),
        _condition("Supported", story.supported, "Supported"),
    ]
    if not story.conflict.good:
        verdict = story.conflict
        found.append(_made("Conflict", TRUE, verdict.reason, verdict.message))
    shims = tuple(_shim(story, story.answers[name]) for name in sorted(story.answers))
    return noderuntime.summarized(
        noderuntime.Status(
            observed_generation=story.generation,
            facts=story.facts,
            shims=shims,
            restarts=story.counters.restarts,
            rollbacks=story.counters.rollbacks,
            drift_repairs=story.counters.repairs,
            conditions=conditions.merge(former.conditions, found, now=now),
        )
    )


def _shim(story: Story, answer: Answer) -> ShimObserved:
    have = story.installed.get(answer.name)
    works = have is not None and answer.name not in story.dead
    return ShimObserved(
        name=answer.name,
        phase=answer.phase,
        handler=have.handler if have is not None and works else "",
        digest=have.wanted if have is not None and works else "",
        observed_digest=answer.digest,
        observed_attempt=answer.attempt,
        sha256=answer.sha256,
        size=answer.size,
        version=have.version[:WORD] if have is not None else "",
        in_use=story.users.get(have.handler, 0) if have is not None else 0,
        reason=answer.reason[:REASON],
        message=_cut(answer.message, MESSAGE),
        time=answer.time,
    )


def _condition(kind: str, verdict: Verdict, good: str) -> Condition:
    if verdict.good:
        return _made(kind, TRUE, good, "")
    return _made(kind, FALSE, verdict.reason, verdict.message)


def _made(kind: str, status: Literal["True", "False"], reason: str, message: str) -> Condition:
    return Condition(type=kind, status=status, reason=reason, message=_cut(message, CONDITION))


def _cut(text: str, limit: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
