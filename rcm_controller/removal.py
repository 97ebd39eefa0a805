"""Cleaning nodes that shall not have a Shim any more: label off, then Absent, then forgotten.

Called by `rollout` for every entry that no selected node needs, and for what an agent reports and
nobody asked about. Removing counts against the same budget as changing. What a node brought along
when it registered anew is not known while no Shim selects it: without an object its agent has
nowhere to say so. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from rcm_api.noderuntime import ShimWanted
from rcm_controller import asks, quota, states, upkeep, waves
from rcm_controller.courses import Cell, Course
from rcm_controller.policies import ControlPlane
from rcm_controller.states import State
from rcm_controller.survey import Survey
from rcm_controller.world import World

Question = tuple[Cell, ShimWanted | None]
"""A node and what it is asked; None: its entry goes."""


def questions(
    course: Course, survey: Survey, *, free: int, control_plane: ControlPlane
) -> Iterator[Question]:
    """Yield what leaving nodes are asked."""
    if not course.leaving:
        return
    yield from _answered(course, survey.world)
    leaving = (c for c in course.leaving if c.state is State.LEAVING)
    due = [c for c in leaving if not (labelled(c, course) or _unheard(c, survey.world))]
    left: list[Cell] = []
    for cell in sorted(due, key=_place):
        if _costs(cell):
            if _must_wait(cell, course, control_plane):
                continue
            if free < 1:
                left.append(cell)
                continue
            free -= 1
            if cell.node.control_plane:
                control_plane.busy.add(cell.node.name)
        yield cell, asks.absent(cell, now=survey.world.now)
    if free < 1:
        yield from _room(course, [c for c in left if _idle(c)], survey.world)


def _answered(course: Course, world: World) -> Iterator[Question]:
    for cell in course.leaving:
        if cell.state is State.CLEAN:
            yield cell, None
        elif cell.state is State.REMOVAL_FAILED and _again(cell, world):
            yield cell, asks.absent(cell, now=world.now)


def labelled(cell: Cell, course: Course) -> bool:
    """Tell whether pods may still be sent to the node."""
    return course.name in cell.node.marks


def forsaken(cell: Cell, course: Course, world: World) -> bool:
    """Tell whether a deletion need not wait for the node: it cleans itself when it is back."""
    deadline = world.policy.dead_node_deadline
    if course.view is None or course.view.deleting is None:
        return False
    if course.view.deleting > world.now - deadline:
        return False
    return quota.silent(cell, world) or _dead(cell, world, deadline)


def unplaced(course: Course, world: World) -> Iterator[str]:
    """Yield nodes that have something of a deleted Shim, and whose Node is not known or not readable.

    A Node that is really gone takes its object along soon; none is waited for longer than dead ones.
    """
    view = course.view
    if view is None or view.deleting is None:
        return
    if view.deleting <= world.now - world.policy.dead_node_deadline:
        return
    names = {cell.node.name for cell in course.strangers}
    for name in world.unread & world.runtimes.keys():
        if world.runtimes[name].observed(course.name):
            names.add(name)
    yield from sorted(names)


def _dead(cell: Cell, world: World, deadline: timedelta) -> bool:
    since = cell.node.ready_changed
    return not cell.node.ready and (since is None or since <= world.now - deadline)


def _unheard(cell: Cell, world: World) -> bool:
    """Tell whether an agent has yet to say what it has: it may have kept what a lost object asked for.

    Asked to remove that before it is known, it would change the node outside the budget.
    """
    entry, runtime = cell.entry, cell.runtime
    if not cell.live or entry is None or runtime is None or cell.seen is not None:
        return False
    if runtime.status.observed_generation > 0:
        return False
    return not states.overdue(entry, world.now - world.policy.answer_deadline)


def _costs(cell: Cell) -> bool:
    """A node with nothing installed, that changes or is down anyway is asked at once."""
    return cell.live and cell.installed and not cell.changing


def _idle(cell: Cell) -> bool:
    return _costs(cell) and not in_use(cell)


def in_use(cell: Cell) -> bool:
    """Tell whether the node's agent has seen pods that use the shim."""
    return cell.seen is not None and cell.seen.in_use > 0


def _place(cell: Cell) -> tuple[bool, bool, bytes]:
    return cell.node.control_plane, in_use(cell), waves.order(cell.node.uid, "")


def _must_wait(cell: Cell, course: Course, control_plane: ControlPlane) -> bool:
    """A control plane that failed for good, for another Shim perhaps, keeps none from being clean."""
    if not cell.node.control_plane:
        return False
    workers = any(c.live and c.installed and not c.node.control_plane for c in course.leaving)
    return workers or bool(control_plane.busy - control_plane.resigned - {cell.node.name})


def _room(course: Course, idle: list[Cell], world: World) -> Iterator[Question]:
    """Let nodes with pods wait where they keep nodes without any from being cleaned.

    Only pods: a node that drains for another reason would be asked again first, and so for ever.
    """
    draining = (c for c in course.leaving if c.state is State.DRAINING and c.live and in_use(c))
    for cell, _ in zip(sorted(draining, key=_place), idle, strict=False):
        if cell.entry is not None:
            yield cell, asks.hold(cell.entry, now=world.now)


def _again(cell: Cell, world: World) -> bool:
    entry = cell.entry
    if entry is None or entry.asked_at is None:
        return True
    return entry.asked_at <= world.now - upkeep.wait(entry, world)
