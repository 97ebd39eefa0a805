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


Time = Annotated[datetime, Meta(tz=True)]
"""A moment, with its zone."""


class Condition(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """As `metav1.Condition`."""

    type: Annotated[str, Meta(description="CamelCase word.", max_length=316)]
    status: Annotated[
        Literal["True", "False", "Unknown"], Meta(description="Whether it holds now.")
    ]
    reason: Annotated[str, Meta(description="CamelCase constant.", max_length=1024)] = ""
    message: Annotated[str, Meta(description="What to do next.", max_length=32768)] = ""
    last_transition_time: Annotated[Time | None, Meta(description="When status last changed.")] = (
        None
    )
    observed_generation: Annotated[
        int, Meta(description="metadata.generation that it speaks of.", ge=0)
    ] = 0


_ONE_OF_A_TYPE: dict[str, object] = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
}
Conditions = Annotated[tuple[Condition, ...], Meta(extra_json_schema=_ONE_OF_A_TYPE)]


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """Return the condition of a type."""
    for condition in conditions:
        if condition.type == kind:
            return condition
    return None


def merge(
    former: Iterable[Condition],
    found: Iterable[Condition],
    *,
    now: datetime,
    generation: int | None = None,
) -> tuple[Condition, ...]:
    """Return `found` with the times of `former` wherever a status stayed as it was.

    With `generation`, all of them speak of it.
    """
    known = {c.type: c for c in former}
    return tuple([_dated(known.get(c.type), c, now, generation) for c in found])


def _dated(
    former: Condition | None, found: Condition, now: datetime, generation: int | None
) -> Condition:
    same = former is not None and former.status == found.status
    time = former.last_transition_time if same and former is not None else now
    of = found.observed_generation if generation is None else generation
    return msgspec.structs.replace(found, last_transition_time=time, observed_generation=of)
