"""Ready labels: a node carries one exactly while the handler is proven there.

Called by `rollout`. Labels of ours for Shims that nobody knows are taken off; everything else of a
Node belongs to others. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from rcm_api import names
from rcm_api.noderuntime import Phase
from rcm_controller.survey import Aim, Cell, Course, Survey

_GOING = frozenset({Phase.DRAINING, Phase.ABSENT})


def changes(survey: Survey) -> Mapping[str, Mapping[str, bool]]:
    """Return, by node, the labels to set (True) and to take off (False)."""
    found: dict[str, dict[str, bool]] = {}
    expected = _expected(survey)
    for name, due in expected.items():
        labels = survey.world.nodes[name].labels
        for shim in due:
            wrong = labels.get(names.ready_label(shim)) != names.READY
            if wrong and _may_set(survey.courses[shim]):
                found.setdefault(name, {})[shim] = True
    for name, shims in survey.labels.items():
        for stray in set(shims).difference(expected.get(name, ())):
            found.setdefault(name, {})[stray] = False
    return found


def _expected(survey: Survey) -> Mapping[str, list[str]]:
    expected: dict[str, list[str]] = {}
    for course in survey.courses.values():
        for cell in course.held if course.aim is Aim.HOLD else course.cells:
            if is_ready(cell, course):
                expected.setdefault(cell.node.name, []).append(course.name)
    return expected


def _may_set(course: Course) -> bool:
    """What a held Shim has stays as it is; it gets nothing new."""
    return course.started and course.aim is Aim.ROLL


def is_ready(cell: Cell, course: Course) -> bool:
    """Tell whether pods may be sent to the node for the Shim."""
    seen = cell.seen
    if seen is None or not seen.digest or seen.phase in _GOING:
        return False
    return seen.handler == _handler(cell, course)


def _handler(cell: Cell, course: Course) -> str:
    """The manifest's; where a Shim is held, the RuntimeClass still names the installed one."""
    if course.aim is Aim.HOLD or course.wanted is None:
        return "" if cell.entry is None else cell.entry.handler
    return course.wanted.runtime_class.handler
