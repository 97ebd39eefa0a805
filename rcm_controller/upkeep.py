"""What nodes are asked that changes nothing on them, or mends what failed there already.

Called by `rollout` for every selected node: fetch ahead, confirm what is installed anyway, try a
failed one once more, put back an edited entry. Activations belong to `waves`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from rcm_api.noderuntime import ShimWanted, Wanted
from rcm_controller import asks, quota, states, waves
from rcm_controller.courses import Cell, Course
from rcm_controller.states import State
from rcm_controller.targets import Target
from rcm_controller.world import World

FETCH = frozenset({State.FETCHING, State.OVERDUE, State.WITHDRAWING, State.UNSUPPORTED})
LONGEST_DOUBLING = 5
"""Removal is tried for ever, at last every 32 backoffs: 16 minutes with the default. A guess."""


def questions(course: Course, world: World) -> Iterator[tuple[Cell, ShimWanted]]:
    """Yield entries that differ from what the nodes are asked now."""
    first = _pinners(course)
    for cell in course.undone:
        target = cell.target
        if target is None or (cell.state is State.READY and _is_settled(cell, target)):
            continue
        if target.pinned or first.get(target.platform) == cell.node.name:
            found = _question(course.name, cell, target, world=world)
        else:
            found = _until_pinned(cell, world)
        if found is not None and found != cell.entry:
            yield cell, found


def _is_settled(cell: Cell, target: Target) -> bool:
    entry = cell.entry
    return entry is not None and entry.phase is Wanted.ACTIVE and states.told(entry, target)


def _question(name: str, cell: Cell, target: Target, *, world: World) -> ShimWanted | None:
    former, now = cell.entry, world.now
    if cell.state is State.READY:
        return asks.entry(cell, name, Wanted.ACTIVE, target=target, now=now)
    if cell.state in FETCH or (former is not None and _is_old(cell.state, former, target)):
        return asks.entry(cell, name, Wanted.PREFETCH, target=target, now=now)
    if cell.state in {State.FAILED, State.FETCH_FAILED} and retry_due(cell, world):
        phase = Wanted.ACTIVE if cell.state is State.FAILED else Wanted.PREFETCH
        return asks.entry(cell, name, phase, target=target, now=now, again=True)
    if former is None or former.digest != target.digest or states.told(former, target):
        return None
    return asks.entry(cell, name, former.phase, target=target, now=now)


def _until_pinned(cell: Cell, world: World) -> ShimWanted | None:
    """What was asked and never answered must not begin later; what is proven stays."""
    if cell.state is not State.WITHDRAWING or cell.entry is None:
        return None
    if cell.entry.phase is Wanted.PREFETCH:
        return None
    return asks.hold(cell.entry, now=world.now)


def _is_old(state: State, former: ShimWanted, target: Target) -> bool:
    """A node at the gate for a former digest has touched nothing: it may turn to the new one."""
    return state is State.WAITING and former.digest != target.digest


def retry_due(cell: Cell, world: World) -> bool:
    """Tell whether a failed node waited long enough, by the controller's clock and by its own."""
    if cell.entry is None or cell.seen is None or not cell.live or quota.exhausted(cell, world):
        return False
    since = world.now - wait(cell.entry, world)
    return all(_elapsed(t, since, world.now) for t in (cell.entry.asked_at, cell.seen.time))


def wait(entry: ShimWanted, world: World) -> timedelta:
    """Return the time between an attempt and the next; it doubles."""
    doublings: int = min(entry.attempt, LONGEST_DOUBLING)
    return world.policy.backoff * (1 << doublings)


def _elapsed(time: datetime | None, since: datetime, now: datetime) -> bool:
    """A time in the future comes from a skewed clock, and says nothing."""
    return time is None or time <= since or time > now


def _pinners(course: Course) -> Mapping[tuple[str, str], str]:
    """Return, for each platform without a hash, the node whose download will be trusted."""
    found: dict[tuple[str, str], tuple[bool, bytes, str]] = {}
    for cell in course.undone:
        target = cell.target
        if target is None or target.pinned or not cell.live or cell.state is State.UNSUPPORTED:
            continue
        failed = cell.state in {State.FETCH_FAILED, State.OVERDUE}
        place = (failed, waves.order(cell.node.uid, target.digest), cell.node.name)
        found[target.platform] = min(found.get(target.platform, place), place)
    return {platform: place[2] for platform, place in found.items()}
