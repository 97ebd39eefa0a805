"""Which nodes change next, over all Shims: canaries, waves, control planes, and who makes room.

Called by `rollout`. Shims choose from one order, so that those that change at once meet on the same
nodes, and a node that is due for several gets them in one question: one restart. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from rcm_controller import canaries, node_classes, policies, quota
from rcm_controller.courses import Aim, Cell, Course, Stage
from rcm_controller.policies import ControlPlane, Held, Ledger
from rcm_controller.states import State
from rcm_controller.survey import Survey

DUE = frozenset({State.FETCHED, State.BLOCKED})
UNDONE = frozenset(
    {
        State.FETCHING,
        State.FETCHED,
        State.BLOCKED,
        State.WITHDRAWING,
        State.UPDATING,
        State.WAITING,
    }
)
"""Workers in these states are waited for before control planes change."""


@dataclass(slots=True)
class Choice:
    """What one look moves."""

    activate: list[tuple[Course, Cell]] = field(default_factory=list[tuple[Course, Cell]])
    withdraw: list[tuple[Course, Cell]] = field(default_factory=list[tuple[Course, Cell]])
    """Nodes at the restart gate that keep others from changing."""


def choose(ledgers: Mapping[str, Ledger], control_plane: ControlPlane) -> Choice:
    """Return which nodes to activate and which to withdraw."""
    choice = Choice()
    moving = [one for one in ledgers.values() if not (one.paused or one.stopped) and one.cells]
    crowded = any(c.state is State.WAITING for one in moving for c in one.course.undone)
    if not crowded and not any(map(_has_room, moving)):
        return choice
    left: list[tuple[Ledger, Cell, Held]] = []
    for node in _ordered(moving):
        due = [(one, one.cells[node]) for one in moving if node in one.cells]
        _choose_node(due, control_plane, choice=choice, left=left)
        if not crowded and not any(map(_has_room, moving)):
            break
    choice.withdraw.extend(_room(left))
    return choice


def _has_room(ledger: Ledger) -> bool:
    """Tell whether any node may start to change: else their order need not be known."""
    if ledger.at_once:
        return True
    return ledger.free > 0 and (
        Stage.PROVEN in ledger.stages.values() or any(left > 0 for left in ledger.slots.values())
    )


def _choose_node(
    due: list[tuple[Ledger, Cell]],
    control_plane: ControlPlane,
    *,
    choice: Choice,
    left: list[tuple[Ledger, Cell, Held]],
) -> None:
    """Activate a node for every Shim that may, unless one that will soon may should join them."""
    judged = [(one, cell, policies.violation(one, cell, control_plane)) for one, cell in due]
    able = [(one, cell) for one, cell, held in judged if held is None]
    barred = [(one, cell, held) for one, cell, held in judged if held is not None]
    left.extend(found for found in barred if found[1].state is State.FETCHED)
    if any(_joins_soon(*found) for found in barred):
        return
    for one, cell in able:
        choice.activate.append((one.course, cell))
        policies.spend(one, cell, control_plane)


def _joins_soon(ledger: Ledger, cell: Cell, held: Held) -> bool:
    """Tell whether waiting for another Shim on this node has an end: one restart, not two."""
    if held in {Held.NOT_PINNED, Held.HANDLER_IN_USE}:
        return False
    return cell.state is State.FETCHING or ledger.moving


def _ordered(moving: Iterable[Ledger]) -> list[str]:
    """Return nodes that are due: workers first, then idle ones, then by hash."""
    ledgers = list(moving)
    seed = ",".join(sorted({d for ledger in ledgers for d in _digests(ledger)}))
    keys: dict[str, tuple[bool, bool, bytes]] = {}
    for ledger in ledgers:
        for name, cell in ledger.cells.items():
            blocked = cell.state is State.BLOCKED
            former = keys.get(name)
            if former is not None:
                keys[name] = (former[0], former[1] or blocked, former[2])
                continue
            keys[name] = (cell.node.control_plane, blocked, order(cell.node.uid, seed))
    return sorted(keys, key=keys.__getitem__)


def order(uid: str, seed: str) -> bytes:
    """Return a node's place: the same for every leader, another one for every release."""
    return hashlib.sha256(f"{uid}{seed}".encode()).digest()


def _digests(ledger: Ledger) -> set[str]:
    return {cell.target.digest for cell in ledger.cells.values() if cell.target is not None}


def _room(left: Iterable[tuple[Ledger, Cell, Held]]) -> Iterator[tuple[Course, Cell]]:
    """Yield one waiting node for each idle node that it keeps from changing."""
    waiting: dict[str, list[Cell]] = {}
    for ledger, cell, held in left:
        name = ledger.course.name
        if name not in waiting:
            found = (c for c in ledger.course.undone if c.state is State.WAITING)
            waiting[name] = sorted(found, key=lambda c: c.node.name)
        chosen = next((c for c in waiting[name] if _in_the_way(c, cell, held)), None)
        if chosen is not None:
            waiting[name].remove(chosen)
            yield ledger.course, chosen


def _in_the_way(waiting: Cell, cell: Cell, held: Held) -> bool:
    if held is Held.BUDGET_SPENT:
        return True
    if held is Held.CANARIES_FIRST:
        return node_classes.of(waiting.runtime) == node_classes.of(cell.runtime)
    return held is Held.CONTROL_PLANE_BUSY and waiting.node.control_plane


def ledgers(survey: Survey) -> Mapping[str, Ledger]:
    """Open the accounts of all Shims that are rolled out."""
    return {
        name: _ledger(course, survey)
        for name, course in survey.courses.items()
        if course.aim is Aim.ROLL and course.started
    }


def _ledger(course: Course, survey: Survey) -> Ledger:
    stages = canaries.stages(course, survey.world.now)
    most = course.rollout.canary_nodes
    return Ledger(
        course=course,
        free=quota.free(course, survey.world),
        slots={kind: most - tally.trying for kind, tally in course.classes.items()},
        stages=stages,
        stopped=stopped(course, stages),
        moving=_moving(course, stages),
        workers_left=sum(map(_undone_worker, course.undone)),
        cells={c.node.name: c for c in course.undone if _is_coming(c)},
    )


def stopped(course: Course, stages: Mapping[str, Stage]) -> bool:
    """Tell whether so many nodes failed that no other may follow."""
    if course.rollout.type == "recreate":
        return False
    nodes = len(course.cells)
    failed = sum(tally.failed for tally in course.classes.values())
    if failed >= quota.failure_limit(course.rollout, nodes):
        return True
    limit = quota.canary_failure_limit(course.rollout, nodes)
    unproven = (course.classes[kind] for kind, s in stages.items() if s is not Stage.PROVEN)
    return any(tally.failed >= limit for tally in unproven)


def _moving(course: Course, stages: Mapping[str, Stage]) -> bool:
    changing = any(cell.state is State.UPDATING and cell.live for cell in course.undone)
    return changing or Stage.SOAKING in stages.values()


def _undone_worker(cell: Cell) -> bool:
    return cell.state in UNDONE and cell.live and not cell.node.control_plane


def _is_coming(cell: Cell) -> bool:
    return (cell.state in DUE or cell.state is State.FETCHING) and cell.live


def control_plane(survey: Survey) -> ControlPlane:
    """Return the control-plane nodes that are changing or broken, and who may be one of them."""
    changing = {n.name for n in survey.world.nodes.values() if n.control_plane and not n.ready}
    resigned: set[str] = set()
    for course in survey.courses.values():
        for cell in course:
            if cell.state is not State.READY and cell.node.control_plane and _busy(cell):
                left = quota.exhausted(cell, survey.world)
                (resigned if left else changing).add(cell.node.name)
        for cell in course.strangers:
            if _busy(cell):
                changing.add(cell.node.name)
    return ControlPlane(changing | resigned, resigned=frozenset(resigned - changing))


def _busy(cell: Cell) -> bool:
    return cell.state in quota.SPENDING or (cell.state in quota.REMOVAL and cell.installed)
