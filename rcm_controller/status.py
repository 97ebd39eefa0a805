"""What a Shim's status says, from one look at the world.

`loop` calls `writes` after the plan. What a new leader starts from (pinned artifacts, the moments
at which canaries were proven) is here too: both are read back by `targets` and `canaries`. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from rcm_api import conditions
from rcm_api.shim_status import ShimStatus
from rcm_controller import canaries, pins, survey, tally, wording
from rcm_controller.actions import WriteShimStatus
from rcm_controller.courses import Aim, Course
from rcm_controller.survey import Survey
from rcm_controller.world import World


def statuses(world: World) -> Mapping[str, ShimStatus]:
    """Return the status of every Shim, by name."""
    return of(survey.look(world))


def of(found: Survey) -> Mapping[str, ShimStatus]:
    """Return the status of every Shim of a world that is sorted already."""
    courses = found.courses.values()
    return {course.name: _status(course, found) for course in courses if course.view is not None}


def writes(world: World) -> tuple[WriteShimStatus, ...]:
    """Return the statuses that differ from what stands in the objects."""
    return changed(world, statuses(world))


def changed(world: World, found: Mapping[str, ShimStatus]) -> tuple[WriteShimStatus, ...]:
    """Return those of `found` that differ from what stands in the objects."""
    return tuple(
        WriteShimStatus(shim=name, uid=world.shims[name].uid, status=status)
        for name, status in sorted(found.items())
        if world.shims[name].status != status
    )


def _status(course: Course, found: Survey) -> ShimStatus:
    view, world = course.view, found.world
    former = ShimStatus() if view is None else view.status
    generation = 0 if view is None else view.generation
    counts = tally.count(course)
    now = world.now.replace(microsecond=0)  # as Kubernetes writes them
    told = wording.conditions_of(course, counts, found)
    held = course.aim is Aim.HOLD
    return ShimStatus(
        observed_generation=generation,
        artifacts=pins.renew(course),
        canaries=canaries.renew(course, world.now) if course.aim is Aim.ROLL else former.canaries,
        conditions=conditions.merge(former.conditions, told, now=now, generation=generation),
        **(_kept(former) if held else _counted(counts)),
    )


def _kept(former: ShimStatus) -> dict[str, int]:
    """A Shim that is held keeps its counts: nothing about its nodes is decided."""
    return {name: getattr(former, name) for name in _COUNTS}


def _counted(counts: tally.Counts) -> dict[str, int]:
    return {
        "nodes": counts.nodes,
        "nodes_ready": counts.ready,
        "nodes_updating": counts.updating,
        "nodes_waiting": counts.waiting,
        "nodes_failed": counts.failed,
        "nodes_unsupported": counts.unsupported,
        "nodes_outdated": counts.outdated,
        "nodes_draining": counts.draining,
    }


_COUNTS = tuple(name for name in ShimStatus.__struct_fields__ if name.startswith("nodes"))
