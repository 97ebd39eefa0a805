"""Ready labels: a node carries one exactly while the handler is proven there.

Called by `rollout`. Labels of ours for Shims that nobody knows are taken off; everything else of a
Node belongs to others. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from rcm_api import names
from rcm_api.noderuntime import Phase, Wanted
from rcm_controller.courses import Aim, Cell, Course
from rcm_controller.survey import Survey

_GOING = frozenset({Phase.DRAINING, Phase.ABSENT})


def changes(survey: Survey) -> Mapping[str, Mapping[str, bool]]:
    """Return, by node, the labels to set (True) and to take off (False)."""
    found: dict[str, dict[str, bool]] = {}
    for course in survey.courses.values():
        for cell in course.undone:
            ready, mark = is_ready(cell, course), cell.node.marks.get(course.name)
            if ready and mark != names.READY and _may_set(course):
                found.setdefault(cell.node.name, {})[course.name] = True
            elif not ready and mark is not None:
                found.setdefault(cell.node.name, {})[course.name] = False
    kept = _kept(survey)
    for node, shims in survey.strays.items():
        for stray in shims:
            if (node, stray) not in kept:
                found.setdefault(node, {})[stray] = False
    return found


def _kept(survey: Survey) -> set[tuple[str, str]]:
    return {
        (cell.node.name, course.name)
        for course in survey.courses.values()
        for cell in course.held
        if is_ready(cell, course) and cell.node.marks.get(course.name) == names.READY
    }


def _may_set(course: Course) -> bool:
    """Without the finalizer there is no effect."""
    return course.started and course.aim is Aim.ROLL


def is_ready(cell: Cell, course: Course) -> bool:
    """Tell whether pods may be sent to the node for the Shim."""
    seen = cell.seen
    if seen is None or not seen.digest or seen.phase in _GOING:
        return False
    if cell.entry is not None and cell.entry.phase is Wanted.ABSENT:
        return False  # selected again, and perhaps being removed at this moment
    return seen.handler == _handler(cell, course)


def _handler(cell: Cell, course: Course) -> str:
    """The manifest's; where a Shim is held, the RuntimeClass still names the installed one."""
    if course.aim is Aim.HOLD or course.wanted is None:
        return "" if cell.entry is None else cell.entry.handler
    return course.wanted.runtime_class.handler
