"""How many nodes of a Shim are where. Called by `status` and `wording`. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from rcm_controller.courses import Cell, Course
from rcm_controller.states import State

_UPDATING = (State.UPDATING, State.WITHDRAWING)
_FAILED = (State.FAILED, State.STUCK, State.FETCH_FAILED)
_OUTDATED = (State.FETCHING, State.OVERDUE, State.FETCHED, State.BLOCKED)
_NOTHING_LEFT = frozenset({State.READY, State.UNSUPPORTED})
TROUBLED = frozenset({State.OVERDUE, *_FAILED})


@dataclass(frozen=True, slots=True)
class Counts:
    """All of selected nodes, but for the last three."""

    nodes: int
    ready: int
    updating: int
    waiting: int
    failed: int
    unsupported: int
    outdated: int
    left: int
    """Not ready, supported, and on nodes that are up: what is still to do."""
    down: int
    """Not ready, and on nodes that are down: they follow when they are back."""
    leaving: int
    draining: int
    troubled: tuple[Cell, ...]
    """Failed, or silent for longer than the deadline; sorted by node."""


def count(course: Course) -> Counts:
    """Count the nodes of a course."""
    states = [cell.state for cell in course.undone]
    others = [c for c in course.undone if c.state not in _NOTHING_LEFT]
    down = sum([not cell.live for cell in others])
    return Counts(
        nodes=len(course.cells),
        ready=len(course.cells) - len(states) + states.count(State.READY),
        updating=sum(map(states.count, _UPDATING)),
        waiting=states.count(State.WAITING),
        failed=sum(map(states.count, _FAILED)),
        unsupported=states.count(State.UNSUPPORTED),
        outdated=sum(map(states.count, _OUTDATED)),
        left=len(others) - down,
        down=down,
        leaving=len(course.leaving),
        draining=sum([cell.state is State.DRAINING for cell in course.leaving]),
        troubled=tuple(sorted(filter(_is_troubled, others), key=lambda cell: cell.node.name)),
    )


def _is_troubled(cell: Cell) -> bool:
    """A node that is down needs no second mention for its silent agent."""
    return cell.state in TROUBLED and (cell.live or cell.state is not State.OVERDUE)
