"""The world, sorted: for each Shim the nodes that shall have it and those that shall not.

Called by `rollout` and `status` at each look; everything they decide is read off this. It costs
one pass over nodes and Shims, and no date is parsed in it. Pure.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from rcm_api import conditions, names, shim
from rcm_api.noderuntime import NodeRuntime, ShimObserved, ShimWanted
from rcm_controller import claims, node_classes, states, targets, views
from rcm_controller.node_classes import Tally
from rcm_controller.states import State
from rcm_controller.targets import Target
from rcm_controller.world import Policy, World


class Aim(enum.StrEnum):
    """What a Shim is about."""

    ROLL = "Roll"
    HOLD = "Hold"
    """Invalid, refused or too late: no effect, and what is installed stays."""
    REMOVE = "Remove"
    """Deleted, or gone already and left on nodes."""


class Cell(msgspec.Struct, frozen=True, gc=False):
    """One Shim on one node."""

    node: views.NodeView
    runtime: NodeRuntime | None
    """None: there is none, or it belongs to a former Node of that name."""
    entry: ShimWanted | None
    seen: ShimObserved | None
    target: Target | None
    """None: nothing for this platform, or the node shall not have the Shim."""
    state: State

    @property
    def shim(self) -> str:
        """Name of the Shim, of a cell that has an entry or an answer."""
        known = self.entry or self.seen
        return "" if known is None else known.name

    @property
    def live(self) -> bool:
        """Tell whether the node can be asked to change now."""
        return self.node.ready and not self.node.deleting

    @property
    def changing(self) -> bool:
        """Tell whether the agent is about to touch the node."""
        return self.seen is not None and self.seen.phase in states.CHANGING

    @property
    def installed(self) -> bool:
        """Tell whether something of the Shim may be in use by containerd."""
        return self.changing or (self.seen is not None and bool(self.seen.digest))


@dataclass(frozen=True, slots=True)
class Course:
    """One Shim and all its nodes."""

    name: str
    view: views.ShimView | None
    """None: the Shim is gone, and entries are left."""
    aim: Aim
    rollout: shim.Rollout
    taken: claims.Taken | None = None
    """Why it came too late."""
    cells: list[Cell] = field(default_factory=list[Cell])
    """Selected nodes, in the order of the world."""
    undone: list[Cell] = field(default_factory=list[Cell])
    """Those of them about which there is anything to do, to wait for or to tell."""
    leaving: list[Cell] = field(default_factory=list[Cell])
    """Others that have an entry."""
    held: list[Cell] = field(default_factory=list[Cell])
    """With `HOLD`: nodes that have an entry and keep it."""
    classes: dict[str, Tally] = field(default_factory=dict[str, Tally])
    """Selected and supported nodes, counted by class."""
    targets: dict[tuple[str, str], Target | None] = field(
        default_factory=dict[tuple[str, str], Target | None]
    )
    """By the nodes' operating system and architecture."""

    @property
    def wanted(self) -> shim.Shim | None:
        """The manifest, unless it is invalid or gone."""
        return None if self.view is None else self.view.wanted

    @property
    def started(self) -> bool:
        """Tell whether the finalizer stands, without which there is no effect."""
        return self.view is None or names.FINALIZER in self.view.finalizers

    @property
    def deleting(self) -> bool:
        """Tell whether a user deleted the Shim."""
        return self.view is not None and self.view.deleting is not None

    def __iter__(self) -> Iterator[Cell]:
        """Yield every node about which there may be something to do."""
        yield from self.undone
        yield from self.leaving
        yield from self.held


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
    for node in world.nodes.values():
        runtime = current(world, node)
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
    labels = node.labels
    return all(labels.get(key) == value for key, value in selector.items())


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
        target = self._target((node.os, node.arch))
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
        else:
            tally.trying += cell.state in states.TRYING
            tally.failed += cell.state in states.FAILED

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
        if platform not in self._targets:
            os, arch = platform
            self._targets[platform] = _resolve(self._course, os, arch)
        return self._targets[platform]


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
    late_comers = claims.taken(world.shims.values())
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


def rivals(cell: Cell) -> tuple[str, ...]:
    """Return other Shims that have an entry with the same handler on the node."""
    runtime, entry = cell.runtime, cell.entry
    if runtime is None or entry is None or len(runtime.spec.shims) < 2:  # noqa: PLR2004 - and another
        return ()
    found = runtime.spec.shims
    return tuple(e.name for e in found if e.handler == entry.handler and e.name != entry.name)
