"""Which node classes are proven at a digest, and which of their nodes prove them.

Called by `waves` before anything else of a class moves, and by `status`, which keeps the moment at
which a class was proven: the soak counts from there, whoever leads. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from rcm_api import shim
from rcm_api.shim_status import Canary
from rcm_controller import node_classes
from rcm_controller.courses import Cell, Course, Stage
from rcm_controller.node_classes import Tally
from rcm_controller.states import State


def needed(tally: Tally, rollout: shim.Rollout, *, all_told: bool) -> int:
    """Return how many nodes prove the class: fewer only when it is known to have fewer."""
    return min(rollout.canary_nodes, tally.live) if all_told else rollout.canary_nodes


def all_told(cells: Iterable[Cell]) -> bool:
    """Tell whether every live node that is not overdue has told its class."""
    return not any(
        cell.state is State.FETCHING and cell.live and node_classes.of(cell.runtime) is None
        for cell in cells
    )


def stage(
    kind: str, tally: Tally, *, records: Iterable[Canary], soak: timedelta, now: datetime
) -> Stage:
    """Return how far a class is, by the moment that the status keeps."""
    for record in records:
        if (record.node_class, record.digest) == (kind, tally.digest):
            return Stage.PROVEN if record.ready_at <= now - soak else Stage.SOAKING
    return Stage.UNPROVEN


def stages(course: Course, now: datetime) -> Mapping[str, Stage]:
    """Return how far each class is, at the moment of the look that found the course."""
    if not course.stages:
        records = () if course.view is None else course.view.status.canaries
        soak = timedelta(seconds=course.rollout.soak_seconds)
        for kind, tally in course.classes.items():
            course.stages[kind] = stage(kind, tally, records=records, soak=soak, now=now)
    return course.stages


def renew(course: Course, now: datetime) -> tuple[Canary, ...]:
    """Return the records for the status: a class that fails while it soaks loses its own."""
    former = () if course.view is None else course.view.status.canaries
    reached = stages(course, now)
    told = all_told(course.undone)
    known = {(record.node_class, record.digest): record for record in former}
    digests = {target.digest for target in course.targets.values() if target is not None}
    found = {
        key: record
        for key, record in known.items()
        if record.digest in digests and reached.get(record.node_class) in {None, Stage.PROVEN}
    }
    for kind, tally in course.classes.items():
        key = (kind, tally.digest)
        if key not in found and 0 < needed(tally, course.rollout, all_told=told) <= tally.ready:
            found[key] = _stamped(known.get(key), kind, tally, now=now)
    return tuple(found[key] for key in sorted(found))


def _stamped(record: Canary | None, kind: str, tally: Tally, *, now: datetime) -> Canary:
    """Keep the moment, unless another leader's clock put it into the future."""
    if record is not None and record.ready_at <= now:
        return record
    return Canary(node_class=kind, digest=tally.digest, ready_at=now)
