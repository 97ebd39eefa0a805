"""What the agent says of each Shim: the part of the status that it must remember.

Made by `decide`, kept by `loop`, read back from the object when the agent starts again. What is
installed is not remembered here: the journal and the host say that. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from rcm_api import noderuntime
from rcm_api.noderuntime import Phase, ShimObserved, ShimWanted, Wanted

DEAD = frozenset({Phase.FAILED, Phase.ROLLED_BACK})
"""Answers that stand until the question changes."""


@dataclass(frozen=True, slots=True)
class Say:
    """What is to be said of a Shim now."""

    phase: Phase
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said of a Shim last."""

    name: str
    phase: Phase = Phase.ABSENT
    reason: str = ""
    message: str = ""
    time: datetime | None = None
    """When phase or reason changed."""
    digest: str = ""
    attempt: int = 0
    """The question that is answered."""
    asked: Wanted | None = None
    """What it asked for; None: it was answered before this agent started."""
    sha256: str = ""
    size: int = 0
    """Of the artifact that the question names, once it was fetched; size in bytes."""

    def answers(self, entry: ShimWanted) -> bool:
        """Tell whether this is about what is asked now."""
        return (self.digest, self.attempt) == (entry.digest, entry.attempt)


Answers = Mapping[str, Answer]


def restored(status: noderuntime.Status) -> dict[str, Answer]:
    """Return what an agent before us said."""
    return {seen.name: _restored(seen) for seen in status.shims}


def next_answer(former: Answer, entry: ShimWanted | None, say: Say, *, now: datetime) -> Answer:
    """Return the answer to a question; the time moves with phase and reason only."""
    answer = former
    if entry is not None:
        fresh = entry.digest != former.digest
        answer = replace(
            former,
            digest=entry.digest,
            attempt=entry.attempt,
            asked=entry.phase,
            sha256="" if fresh else former.sha256,
            size=0 if fresh else former.size,
        )
    same = (former.phase, former.reason) == (say.phase, say.reason) and former.time is not None
    return replace(
        answer,
        phase=say.phase,
        reason=say.reason,
        message=say.message,
        time=former.time if same else now,
    )


def _restored(seen: ShimObserved) -> Answer:
    return Answer(
        name=seen.name,
        phase=seen.phase,
        reason=seen.reason,
        message=seen.message,
        time=seen.time,
        digest=seen.observed_digest,
        attempt=seen.observed_attempt,
        sha256=seen.sha256,
        size=seen.size,
    )
