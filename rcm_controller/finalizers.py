"""The finalizer: held before a Shim's first effect, released after its last. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rcm_controller import removal, runtime_classes
from rcm_controller.actions import SetFinalizer
from rcm_controller.courses import Aim, Course
from rcm_controller.survey import Survey


def changes(survey: Survey) -> Iterator[SetFinalizer]:
    """Yield finalizers to set and to release."""
    for course in survey.courses.values():
        view = course.view
        if view is None:
            continue
        if course.aim is Aim.ROLL and not course.started:
            yield SetFinalizer(view.name, view.uid, present=True, finalizers=view.finalizers)
        if course.deleting and course.started and not any(remains(course, survey)):
            yield SetFinalizer(view.name, view.uid, present=False, finalizers=view.finalizers)


def remains(course: Course, survey: Survey) -> Iterator[str]:
    """Yield what keeps a deleted Shim, in words."""
    world = survey.world
    for cell in course.leaving:
        if not removal.forsaken(cell, course, world):
            yield f"node {cell.node.name}"
    for name in removal.unplaced(course, world):
        unread = name in world.unread
        yield f"node {name}, whose Node {'cannot be read' if unread else 'is not known'}"
    for name, shims in survey.strays.items():
        if course.name in shims:
            yield f"ready label on node {name}"
    for found in runtime_classes.of_shim(course, survey):
        yield f"RuntimeClass {found.name}"
