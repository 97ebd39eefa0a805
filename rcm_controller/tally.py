"""How many nodes of a Shim are where. Called by `status` and `wording`. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from rcm_controller.courses import Cell, Course
from rcm_controller.states import State

_UPDATING = (State.UPDATING, State.WITHDRAWING)
_FAILED = (State.FAILED, State.STUCK, State.FETCH_FAILED)
_OUTDATED = (State.FETCHING, State.OVERDUE, State.FETCHED, State.BLOCKED)
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
    by_state = Counter(cell.state for cell in course.undone)
    others = [c for c in course.undone if c.state not in {State.READY, State.UNSUPPORTED}]
    down = sum(not cell.live for cell in others)
    return Counts(
        nodes=len(course.cells),
        ready=len(course.cells) - len(course.undone) + by_state[State.READY],
        updating=sum(by_state[state] for state in _UPDATING),
        waiting=by_state[State.WAITING],
        failed=sum(by_state[state] for state in _FAILED),
        unsupported=by_state[State.UNSUPPORTED],
        outdated=sum(by_state[state] for state in _OUTDATED),
        left=len(others) - down,
        down=down,
        leaving=len(course.leaving),
        draining=sum(cell.state is State.DRAINING for cell in course.leaving),
        troubled=tuple(sorted(filter(_is_troubled, others), key=lambda cell: cell.node.name)),
    )


def _is_troubled(cell: Cell) -> bool:
    """A node that is down needs no second mention for its silent agent."""
    return cell.state in TROUBLED and (cell.live or cell.state is not State.OVERDUE)
