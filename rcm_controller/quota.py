"""How many nodes of a Shim may be changing or broken at one time, and how many are.

Counted anew from the objects at each look, so that a new leader cannot forget what the former one
spent. A node counts as soon as its NodeRuntime says so, whether or not its Node is known: a new
leader's watch of Nodes may be two minutes behind.

A node that failed counts for good, also after its last try and back on its former version: broken
is broken (design §3 and §6, 6), and a release that fails on as many nodes as may change at a time
should not go further without a person. `wording` says so, and that a larger maxUpdate lets the
others pass. Pure.
"""

from __future__ import annotations

from rcm_api import shim
from rcm_controller.courses import Aim, Cell, Course
from rcm_controller.states import State
from rcm_controller.world import World

SPENDING = frozenset(
    {State.UPDATING, State.WAITING, State.WITHDRAWING, State.FAILED, State.STUCK, State.DRAINING}
)
REMOVAL = frozenset({State.REMOVING, State.REMOVAL_FAILED})
LEAST_FAILURES = 2
"""In the waves, one failure may be the node's own fault (design §2.1)."""
FETCH_ATTEMPTS = 9
"""Fetching disturbs nobody, so it is tried longer than changing: an hour with the default backoff,
as long as an outage that the rest of the system must survive (faults.md R13)."""
FAILURES_PERCENT = 2
"""Design §2.1."""


def share(count: int | str, nodes: int) -> int:
    """Return a number of nodes, of percentages the part rounded down, at least 1."""
    if isinstance(count, int):
        return count
    return max(1, nodes * int(count.removesuffix("%")) // 100)


def total(course: Course) -> int:
    """Return what percentages refer to: selected nodes; of a deleted Shim, those it is left on."""
    return len(course.leaving) if course.aim is Aim.REMOVE else len(course.cells)


def allowed(course: Course) -> int:
    """Return how many nodes may be changing or broken."""
    return share(course.rollout.max_update, total(course))


def spends(cell: Cell) -> bool:
    """Tell whether a node that shall have the Shim is changing or broken."""
    return cell.state in SPENDING or not cell.node.ready


def spends_leaving(cell: Cell, world: World) -> bool:
    """Tell whether a node that is being cleaned is changing.

    Dead and silent ones do not count: ten dead nodes must not keep a deletion from the others.
    """
    if not cell.live or silent(cell, world):
        return False
    if cell.state is State.LEAVING:
        return cell.changing
    return cell.state in SPENDING or (cell.state in REMOVAL and cell.installed)


def silent(cell: Cell, world: World) -> bool:
    """Tell whether a request to clean up is so old that nobody will answer it.

    Pods may use a shim for days, and that is an answer; no pod and no end of it is none.
    """
    if cell.entry is None or cell.entry.asked_at is None:
        return False
    unused = cell.state is State.DRAINING and cell.seen is not None and not cell.seen.in_use
    if cell.state is not State.REMOVING and not unused:
        return False
    return cell.entry.asked_at <= world.now - world.policy.dead_node_deadline


def spent(course: Course, world: World) -> int:
    """Return how many nodes are changing or broken."""
    others = (*course.leaving, *course.held, *course.strangers)
    return sum(map(spends, course.undone)) + sum(spends_leaving(c, world) for c in others)


def free(course: Course, world: World) -> int:
    """Return how many nodes may start to change."""
    if course.rollout.type == "recreate":
        return len(course.cells) + len(course.leaving)
    return allowed(course) - spent(course, world)


def failure_limit(rollout: shim.Rollout, nodes: int) -> int:
    """Return how many failed nodes end a rollout."""
    if rollout.max_failures is not None:
        return share(rollout.max_failures, nodes)
    return max(LEAST_FAILURES, nodes * FAILURES_PERCENT // 100)


def canary_failure_limit(rollout: shim.Rollout, nodes: int) -> int:
    """Return how many failed nodes of an unproven class end a rollout."""
    return 1 if rollout.max_failures is None else share(rollout.max_failures, nodes)


def exhausted(cell: Cell, world: World) -> bool:
    """Tell whether a failed node is left to a person."""
    if cell.entry is None or cell.state not in {State.FAILED, State.FETCH_FAILED}:
        return False
    most = world.policy.attempts
    if cell.state is State.FETCH_FAILED:
        most = max(most, FETCH_ATTEMPTS)
    return cell.entry.attempt + 1 >= most
