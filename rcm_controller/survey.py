"""The world, sorted: for each Shim the nodes that shall have it and those that shall not.

Called by `rollout` and `status` at each look; everything they decide is read off this. It costs
one pass over nodes and Shims, and no date is parsed in it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from rcm_api import conditions, names, shim
from rcm_api.noderuntime import NodeRuntime, ShimObserved, ShimWanted, Wanted
from rcm_controller import claims, node_classes, states, targets, views
from rcm_controller.courses import Aim, Cell, Course, rivals
from rcm_controller.node_classes import Tally
from rcm_controller.states import State
from rcm_controller.targets import Target
from rcm_controller.world import Policy, World


@dataclass(frozen=True, slots=True)
class Survey:
    """What one look found."""

    world: World
    courses: Mapping[str, Course]
    """By name, sorted."""
    strays: Mapping[str, tuple[str, ...]]
    """By node, Shims whose ready labels it carries although none is rolled out to it."""


def look(world: World) -> Survey:
    """Sort the world by Shims."""
    courses = {course.name: course for course in _courses(world)}
    late = world.now - world.policy.answer_deadline
    rolling = {c.name: _Sorter(c, late) for c in courses.values() if c.aim is Aim.ROLL}
    strays: dict[str, tuple[str, ...]] = {}
    placed = 0
    for node in world.nodes.values():
        runtime = current(world, node)
        placed += runtime is not None
        known = 0
        for sorter in rolling.values():
            if sorter.selects(node):
                known += sorter.take(node, runtime)
        if known == len(node.marks) + _size(runtime):
            continue  # the usual case: nothing on the node is of another Shim
        for cell in _others(node, runtime, rolling):
            _leave(courses, cell, late)
        found = tuple(m for m in node.marks if not _is_selected(m, node, rolling))
        if found:
            strays[node.name] = found
    if placed < len(world.runtimes):
        _meet(courses, _strangers(world, rolling, late))
    return Survey(world=world, courses=dict(sorted(courses.items())), strays=strays)


def _size(runtime: NodeRuntime | None) -> int:
    return 0 if runtime is None else len(runtime.spec.shims) + len(runtime.status.shims)


def current(world: World, node: views.NodeView) -> NodeRuntime | None:
    """Return the object of this very Node, not one of a former Node of that name."""
    runtime = world.runtimes.get(node.name)
    if runtime is None or runtime.spec.node_uid != node.uid:
        return None
    return None if runtime.metadata.deletion_timestamp is not None else runtime


def selects(selector: Mapping[str, str] | None, node: views.NodeView) -> bool:
    """Tell whether a nodeSelector chooses a node; without one, every Linux node."""
    if not selector:
        return node.os == "linux"
    return selector.items() <= node.labels.items()


class _Sorter:
    """Finds the cells of one course."""

    def __init__(self, course: Course, late: datetime) -> None:
        self._course = course
        self._name = course.name
        self._late = late
        self._selector = None if course.wanted is None else course.wanted.node_selector
        self._targets = course.targets

    def selects(self, node: views.NodeView) -> bool:
        """Tell whether the node shall have the Shim."""
        return selects(self._selector, node)

    def take(self, node: views.NodeView, runtime: NodeRuntime | None) -> int:
        """Add the node's cell; return how much of what is on the node belongs to the Shim."""
        entry = seen = None
        if runtime is not None:
            entry, seen = asked(runtime, self._name), observed(runtime, self._name)
        platform = (node.os, node.arch)
        target = self._targets[platform] if platform in self._targets else self._target(platform)
        done = target is not None and states.done(entry, seen, target)
        state = State.READY if done else self._state(runtime, entry, seen, target)
        cell = Cell(node, runtime, entry, seen, target, state)
        live, mark = node.ready and not node.deleting, node.marks.get(self._name)
        self._course.cells.append(cell)
        if not (done and live and mark == names.READY):
            self._course.undone.append(cell)
        if target is not None and state is not State.UNSUPPORTED:
            self._count(cell, target.digest, live=live)
        return (entry is not None) + (seen is not None) + (mark is not None)

    def meet(self, cell: Cell) -> Cell:
        """Classify a stranger; it takes a canary's place, or is a failure, and proves nothing."""
        entry, node = cell.entry, cell.node
        target = self._target((node.os, node.arch))
        state = self._state(cell.runtime, entry, cell.seen, target)
        found = msgspec.structs.replace(cell, target=target, state=state)
        if target is not None and state in states.TRYING | states.FAILED:
            self._count(found, target.digest, live=False)
        return found

    def _count(self, cell: Cell, digest: str, *, live: bool) -> None:
        kind = node_classes.of(cell.runtime)
        if kind is None:
            return
        tally = self._course.classes.get(kind)
        if tally is None:
            tally = self._course.classes[kind] = Tally(digest)
        tally.live += live
        if cell.state is State.READY:
            tally.ready += live
            tally.trying += live
        elif cell.state in states.TRYING:
            tally.trying += 1
        elif cell.state in states.FAILED:
            tally.failed += 1

    def _state(
        self,
        runtime: NodeRuntime | None,
        entry: ShimWanted | None,
        seen: ShimObserved | None,
        target: Target | None,
    ) -> State:
        if target is None:
            return states.unserved(entry, seen, late=self._late)
        state = states.selected(entry, seen, target, late=self._late)
        if state in _UNPROVEN and runtime is not None and _unsupported(runtime):
            return State.UNSUPPORTED
        return state

    def _target(self, platform: tuple[str, str]) -> Target | None:
        os, arch = platform
        found = self._targets[platform] = _resolve(self._course, os, arch)
        return found


_UNPROVEN = frozenset(
    {State.FETCHING, State.OVERDUE, State.FETCH_FAILED, State.FETCHED, State.BLOCKED}
)


def asked(runtime: NodeRuntime, name: str) -> ShimWanted | None:
    """Return what a node is asked about a Shim."""
    for entry in runtime.spec.shims:
        if entry.name == name:
            return entry
    return None


def observed(runtime: NodeRuntime, name: str) -> ShimObserved | None:
    """Return what the agent says of a Shim."""
    for seen in runtime.status.shims:
        if seen.name == name:
            return seen
    return None


def _is_selected(name: str, node: views.NodeView, rolling: Mapping[str, _Sorter]) -> bool:
    sorter = rolling.get(name)
    return sorter is not None and sorter.selects(node)


def _resolve(course: Course, os: str, arch: str) -> Target | None:
    if course.view is None or course.view.wanted is None:
        return None
    return targets.resolve(course.view.wanted, course.view.status.artifacts, os=os, arch=arch)


def _unsupported(runtime: NodeRuntime) -> bool:
    found = conditions.find(runtime.status.conditions, "Supported")
    return found is not None and found.status == conditions.FALSE


def _courses(world: World) -> Iterator[Course]:
    late_comers = claims.taken(world)
    for view in world.shims.values():
        taken = late_comers.get(view.name)
        yield Course(
            name=view.name,
            view=view,
            aim=_aim(view, taken, world.policy),
            rollout=shim.Rollout() if view.wanted is None else view.wanted.rollout,
            taken=taken,
        )


def _aim(view: views.ShimView, taken: claims.Taken | None, policy: Policy) -> Aim:
    if view.deleting is not None:
        return Aim.REMOVE
    if view.wanted is None or taken is not None:
        return Aim.HOLD
    if policy.require_digest and targets.unpinned(view.wanted):
        return Aim.HOLD
    return Aim.ROLL


def _others(
    node: views.NodeView, runtime: NodeRuntime | None, rolling: Mapping[str, _Sorter]
) -> Iterator[Cell]:
    """Yield entries that no Shim needs here, and what a node has and is not asked about."""
    if runtime is None:
        return
    for entry in runtime.spec.shims:
        if not _is_selected(entry.name, node, rolling):
            seen = observed(runtime, entry.name)
            yield Cell(node, runtime, entry, seen, None, State.LEAVING)
    for seen in runtime.status.shims:
        unasked = seen.digest and asked(runtime, seen.name) is None
        if unasked and not _is_selected(seen.name, node, rolling):
            yield Cell(node, runtime, None, seen, None, State.LEAVING)


def _meet(courses: Mapping[str, Course], strangers: Iterable[Cell]) -> None:
    for cell in strangers:
        if cell.shim in courses:
            courses[cell.shim].strangers.append(cell)


def _strangers(world: World, rolling: Mapping[str, _Sorter], late: datetime) -> Iterator[Cell]:
    """Yield what was asked by objects that belong to no known Node, or that are being deleted."""
    for name, runtime in world.runtimes.items():
        known = world.nodes.get(name)
        if known is not None and current(world, known) is runtime:
            continue
        facts, uid = runtime.status.facts, runtime.spec.node_uid
        node = views.NodeView(name, uid, facts.os, facts.arch, labels={}, ready=True)
        for entry in runtime.spec.shims:
            seen = observed(runtime, entry.name)
            state = states.leaving(entry, seen, late=late)
            cell = Cell(node, runtime, entry, seen, None, state)
            staying = entry.name in rolling and entry.phase is not Wanted.ABSENT
            yield rolling[entry.name].meet(cell) if staying else cell


def _leave(courses: dict[str, Course], cell: Cell, late: datetime) -> None:
    """Put a cell with its Shim, or with a course for what is left of a Shim that is gone."""
    course = courses.get(cell.shim)
    if course is None:
        course = Course(name=cell.shim, view=None, aim=Aim.REMOVE, rollout=shim.Rollout())
        courses[cell.shim] = course
    if cell.entry is not None:
        state = states.leaving(cell.entry, cell.seen, late=late)
        cell = msgspec.structs.replace(cell, state=state)
    held = _is_held(courses, course, cell)
    (course.held if held else course.leaving).append(cell)


def _is_held(courses: Mapping[str, Course], course: Course, cell: Cell) -> bool:
    """A Shim without effects keeps its nodes, but for those that others may have.

    These are nodes that a readable manifest does not select, and those where the older Shim waits
    for the handler.
    """
    if course.aim is not Aim.HOLD:
        return False
    if course.wanted is not None and not selects(course.wanted.node_selector, cell.node):
        return False
    return not any(courses[name].aim is Aim.ROLL for name in rivals(cell) if name in courses)
