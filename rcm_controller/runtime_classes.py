"""RuntimeClasses: one per Shim, ours only when nobody else holds it.

Called by `rollout`, and by `status` for its condition. A handler cannot be changed in place, so
another one means: labels off, delete, create. Pure.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

from rcm_api import names
from rcm_controller import actions, labels, quantities, removal, views
from rcm_controller.actions import RuntimeClassSpec
from rcm_controller.courses import Aim, Course
from rcm_controller.survey import Survey

MANAGED_BY = "app.kubernetes.io/managed-by"
OBJECT_SET = "objectset.rio.cattle.io/"
"""Prefix of the labels by which k3s and Rancher mark what they put back when it is changed."""

Change = actions.CreateRuntimeClass | actions.UpdateRuntimeClass | actions.DeleteRuntimeClass


class Holder(enum.StrEnum):
    """Whose a RuntimeClass is."""

    OURS = "Ours"
    NOBODY = "Nobody"
    """It says what ours would say: it is adopted."""
    OTHER = "Other"


def changes(survey: Survey) -> Iterator[Change]:
    """Yield what is to be done about RuntimeClasses."""
    for course in survey.courses.values():
        if not course.started or course.view is None:
            continue
        if course.aim is Aim.ROLL:
            yield from _upkeep(course, survey)
        if course.aim is not Aim.HOLD:
            yield from _leftovers(course, survey)


def wanted(course: Course) -> RuntimeClassSpec | None:
    """Return the RuntimeClass as it shall be."""
    if course.view is None or course.wanted is None:
        return None
    found = course.wanted.runtime_class
    return RuntimeClassSpec(
        name=found.name,
        shim=course.name,
        shim_uid=course.view.uid,
        handler=found.handler,
        node_selector={names.ready_label(course.name): names.READY},
        tolerations=found.tolerations,
        overhead=found.overhead,
    )


def holder(found: views.RuntimeClassView, spec: RuntimeClassSpec) -> Holder:
    """Tell whose a RuntimeClass of the wanted name is."""
    if is_ours(found, spec.shim_uid):
        return Holder.OURS
    foreign = found.owners or MANAGED_BY in found.labels
    if foreign or any(key.startswith(OBJECT_SET) for key in found.labels):
        return Holder.OTHER
    return Holder.NOBODY if _adoptable(found, spec) else Holder.OTHER


def is_ours(found: views.RuntimeClassView, shim_uid: str) -> bool:
    """Tell whether we made it."""
    return shim_uid in found.owners or found.labels.get(MANAGED_BY) == names.MANAGER


def of_shim(course: Course, survey: Survey) -> Iterator[views.RuntimeClassView]:
    """Yield the RuntimeClasses that this Shim owns."""
    if course.view is None:
        return
    for _, found in sorted(survey.world.classes.items()):
        if course.view.uid in found.owners:
            yield found


def _adoptable(found: views.RuntimeClassView, spec: RuntimeClassSpec) -> bool:
    scheduling = bool(found.node_selector or found.tolerations)
    same = (found.node_selector, found.tolerations) == (spec.node_selector, spec.tolerations)
    return (
        found.handler == spec.handler
        and (not scheduling or same)
        and (not found.overhead or quantities.same(found.overhead, spec.overhead))
    )


def _upkeep(course: Course, survey: Survey) -> Iterator[Change]:
    spec = wanted(course)
    if spec is None:
        return
    found = survey.world.classes.get(spec.name)
    if found is None:
        yield actions.CreateRuntimeClass(spec)
    elif found.deleting or holder(found, spec) is Holder.OTHER:
        return
    elif found.handler != spec.handler:
        yield from _delete(found, course, survey)
    elif not _is(found, spec):
        yield actions.UpdateRuntimeClass(spec, found.resource_version)


def _is(found: views.RuntimeClassView, spec: RuntimeClassSpec) -> bool:
    return (
        spec.shim_uid in found.owners
        and found.labels.get(MANAGED_BY) == names.MANAGER
        and found.node_selector == spec.node_selector
        and found.tolerations == spec.tolerations
        and quantities.same(found.overhead, spec.overhead)
    )


def _leftovers(course: Course, survey: Survey) -> Iterator[Change]:
    """Delete what the Shim owns and does not want any more."""
    kept = _claimed(survey)
    for found in of_shim(course, survey):
        if found.name not in kept and not found.deleting:
            yield from _delete(found, course, survey)


def _claimed(survey: Survey) -> set[str]:
    courses = survey.courses.values()
    return {
        course.wanted.runtime_class.name
        for course in courses
        if course.aim is Aim.ROLL and course.wanted is not None
    }


def _delete(
    found: views.RuntimeClassView, course: Course, survey: Survey
) -> Iterator[actions.DeleteRuntimeClass]:
    """Pods must not be sent anywhere by a RuntimeClass that goes: labels first, then nodes."""
    if course.aim is Aim.REMOVE and not _nodes_are_clean(course, survey):
        return
    if course.aim is Aim.ROLL and _labelled_for(found.handler, course):
        return
    yield actions.DeleteRuntimeClass(found.name, found.uid, found.resource_version)


def _labelled_for(handler: str, course: Course) -> bool:
    """Tell whether a node is still labelled for the handler that goes."""
    if course.wanted is not None and course.wanted.runtime_class.handler == handler:
        return False  # another name for the same handler: nodes stay as they are
    return any(
        course.name in cell.node.marks and not labels.is_ready(cell, course)
        for cell in course.undone
    )


def _nodes_are_clean(course: Course, survey: Survey) -> bool:
    world = survey.world
    if any(course.name in shims for shims in survey.strays.values()):
        return False
    if any(removal.unplaced(course, world)):
        return False
    return all(removal.forsaken(cell, course, world) for cell in course.leaving)
