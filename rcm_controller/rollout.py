"""The plan: what the controller does next, from one look at the world.

`loop` calls `plan` and hands the actions to `apply`, in this order: labels come off before anything
is taken away, and go on as soon as a node proved itself. Doing half of them, or all of them twice,
does no harm: the next look starts from the objects again. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rcm_api import noderuntime
from rcm_api.noderuntime import NodeRuntime, ShimWanted, Wanted
from rcm_controller import (
    actions,
    asks,
    events,
    finalizers,
    labels,
    quota,
    removal,
    runtime_classes,
    status,
    survey,
    upkeep,
    waves,
)
from rcm_controller.actions import Action
from rcm_controller.courses import Aim, Cell, Course
from rcm_controller.policies import ControlPlane, Ledger
from rcm_controller.survey import Survey
from rcm_controller.world import UNNAMED, World

Questions = dict[str, dict[str, ShimWanted | None]]
"""By node and Shim; None: the entry goes."""


def plan(world: World) -> tuple[Action, ...]:
    """Return what to do and to tell next; nothing when everything is as it shall be."""
    found = survey.look(world)
    told = status.of(found)
    return (*decide(found), *status.changed(world, told), *events.of(found, told))


def decide(found: Survey) -> tuple[Action, ...]:
    """Return what to do next about a world that is sorted already; `status` is what to tell."""
    changed = labels.changes(found)
    return (
        *_labels(found, changed, on=False),
        *finalizers.changes(found),
        *runtime_classes.changes(found),
        *_labels(found, changed, on=True),
        *_runtimes(found, questions(found)),
        *_strangers(found.world),
    )


def questions(found: Survey) -> Questions:
    """Return every entry that changes."""
    ledgers, control_plane = waves.ledgers(found), waves.control_plane(found)
    choice = waves.choose(ledgers, control_plane)
    return _by_node(
        (
            *_upkeep(found),
            *_activated(choice.activate, found.world),
            *_withdrawn(choice.withdraw, found.world),
            *_removed(found, ledgers, control_plane),
        )
    )


Question = tuple[str, Cell, ShimWanted | None]


def _by_node(asked: Iterable[Question]) -> Questions:
    found: Questions = {}
    for name, cell, entry in asked:
        found.setdefault(cell.node.name, {})[name] = entry
    return found


def _upkeep(found: Survey) -> Iterator[Question]:
    for course in found.courses.values():
        if course.aim is Aim.ROLL and course.started:
            for cell, entry in upkeep.questions(course, found.world):
                yield course.name, cell, entry


def _activated(chosen: Iterable[tuple[Course, Cell]], world: World) -> Iterator[Question]:
    for course, cell in chosen:
        if cell.target is not None:
            phase, now = Wanted.ACTIVE, world.now
            entry = asks.entry(cell, course.name, phase, target=cell.target, now=now)
            yield course.name, cell, entry


def _withdrawn(chosen: Iterable[tuple[Course, Cell]], world: World) -> Iterator[Question]:
    for course, cell in chosen:
        if cell.entry is not None:
            yield course.name, cell, asks.hold(cell.entry, now=world.now)


def _removed(
    found: Survey, ledgers: Mapping[str, Ledger], control_plane: ControlPlane
) -> Iterator[Question]:
    for course in found.courses.values():
        ledger = ledgers.get(course.name)
        free = quota.free(course, found.world) if ledger is None else ledger.free
        asked = removal.questions(course, found, free=free, control_plane=control_plane)
        for cell, entry in asked:
            yield course.name, cell, entry


def _labels(
    found: Survey, changed: Mapping[str, Mapping[str, bool]], *, on: bool
) -> Iterator[Action]:
    for name, shims in sorted(changed.items()):
        chosen = {shim: value for shim, value in sorted(shims.items()) if value is on}
        if chosen:
            yield actions.LabelNode(name, found.world.nodes[name].uid, chosen)


def _runtimes(found: Survey, asked: Questions) -> Iterator[Action]:
    """Yield changed objects: activations first, then fetching, removals, and deletions."""
    made = (_runtime(found.world, node, entries) for node, entries in sorted(asked.items()))
    ranked = [(rank, action) for rank, action in made if action is not None]
    yield from (action for _, action in sorted(ranked, key=lambda one: one[0]))


def _runtime(
    world: World, name: str, entries: Mapping[str, ShimWanted | None]
) -> tuple[int, Action | None]:
    node = world.nodes[name]
    runtime = survey.current(world, node)
    former = {} if runtime is None else {e.name: e for e in runtime.spec.shims}
    wanted = {k: e for k, e in sorted({**former, **entries}.items()) if e is not None}
    spec = noderuntime.Spec(node_uid=node.uid, shims=tuple(wanted.values()))
    if runtime is None:
        return _PREFETCH, None if name in world.runtimes else actions.CreateNodeRuntime(name, spec)
    metadata = runtime.metadata
    if not wanted and not _leftovers(runtime):
        deletion = actions.DeleteNodeRuntime(name, metadata.uid, metadata.resource_version)
        return _DELETION, deletion
    update = actions.UpdateNodeRuntime(
        name, metadata.resource_version, spec, unlabelled=_removed_now(entries, former)
    )
    return _rank(entries), update


def _removed_now(
    entries: Mapping[str, ShimWanted | None], former: Mapping[str, ShimWanted]
) -> tuple[str, ...]:
    """Return the Shims that the node is asked to remove for the first time."""
    removed = {name for name, e in entries.items() if e is not None and e.phase is Wanted.ABSENT}
    return tuple(
        sorted(n for n in removed if n not in former or former[n].phase is not Wanted.ABSENT)
    )


def _leftovers(runtime: NodeRuntime) -> bool:
    """Tell whether a node has something that nobody asked for yet; without an object none will."""
    asked = {entry.name for entry in runtime.spec.shims}
    return any(seen.digest and seen.name not in asked for seen in runtime.status.shims)


_ACTIVATION, _PREFETCH, _REMOVAL, _DELETION = range(4)


def _rank(entries: Mapping[str, ShimWanted | None]) -> int:
    phases = {None if entry is None else entry.phase for entry in entries.values()}
    if Wanted.ACTIVE in phases:
        return _ACTIVATION
    return _PREFETCH if Wanted.PREFETCH in phases else _REMOVAL


def _strangers(world: World) -> Iterator[Action]:
    """Yield deletions of objects whose Node is gone, or came back as another machine.

    None while it cannot be told whose Node is gone.
    """
    if UNNAMED in world.unread:
        return
    for name, runtime in sorted(world.runtimes.items()):
        node = world.nodes.get(name)
        if name in world.unread or (node is not None and runtime.spec.node_uid == node.uid):
            continue
        if runtime.metadata.deletion_timestamp is None:
            meta, gone = runtime.metadata, runtime.spec.node_uid
            yield actions.DeleteNodeRuntime(name, meta.uid, meta.resource_version, gone)
