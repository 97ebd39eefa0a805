"""Kubernetes conditions: set one, and the time moves only when its status does. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

TRUE: Literal["True"] = "True"
FALSE: Literal["False"] = "False"
UNKNOWN: Literal["Unknown"] = "Unknown"


class Condition(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """As `metav1.Condition`."""

    type: Annotated[str, Meta(max_length=316)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Meta(description="CamelCase constant.", max_length=1024)] = ""
    message: Annotated[str, Meta(description="What to do next.", max_length=32768)] = ""
    last_transition_time: datetime | None = None
    observed_generation: Annotated[int, Meta(ge=0)] = 0


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """Return the condition of a type."""
    return next((c for c in conditions if c.type == kind), None)


def merge(
    former: Iterable[Condition], found: Iterable[Condition], *, now: datetime
) -> tuple[Condition, ...]:
    """Return `found` with the times of `former` wherever a status stayed as it was."""
    known = {c.type: c for c in former}
    return tuple(_dated(known.get(c.type), c, now) for c in found)


def _dated(former: Condition | None, found: Condition, now: datetime) -> Condition:
    same = former is not None and former.status == found.status
    time = former.last_transition_time if same and former is not None else now
    return msgspec.structs.replace(found, last_transition_time=time)
