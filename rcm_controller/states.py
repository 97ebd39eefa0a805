"""Where a node is with one Shim: read off the NodeRuntime's two halves, and nothing else.

Called by `survey` for every node and Shim at each look. An answer counts only when it names the
digest and the attempt that were asked for. Pure.
"""

from __future__ import annotations

import enum
from datetime import datetime

from rcm_api.noderuntime import Phase, ShimObserved, ShimWanted, Wanted
from rcm_controller.targets import Target


class State(enum.StrEnum):
    """A closed set; the first block is of selected nodes, the second of those to be cleaned."""

    UNSUPPORTED = "Unsupported"
    """No artifact for the platform, or the agent says that it cannot serve this node."""
    FETCHING = "Fetching"
    OVERDUE = "Overdue"
    """Asked to fetch, and not done by the deadline."""
    FETCH_FAILED = "FetchFailed"
    """Nothing was touched; the former version works."""
    FETCHED = "Fetched"
    BLOCKED = "Blocked"
    """Fetched, and at the moment a restart would end running containers."""
    WITHDRAWING = "Withdrawing"
    """Asked to hold, and not known to have stopped yet."""
    UPDATING = "Updating"
    WAITING = "Waiting"
    FAILED = "Failed"
    STUCK = "Stuck"
    """Asked to change, and no answer by the deadline."""
    READY = "Ready"

    LEAVING = "Leaving"
    """To be cleaned, and not asked yet."""
    REMOVING = "Removing"
    DRAINING = "Draining"
    REMOVAL_FAILED = "RemovalFailed"
    CLEAN = "Clean"


FAILED = frozenset({State.FAILED, State.STUCK})
"""Changing was tried, and went wrong."""
TRYING = frozenset({State.UPDATING, State.WAITING, State.WITHDRAWING})
"""Changing was asked for, and is not over."""
CHANGING = frozenset({Phase.WAITING, Phase.APPLYING, Phase.DRAINING})
"""Phases in which an agent is about to touch the node, whatever it is asked meanwhile."""
FAILURES = frozenset({Phase.FAILED, Phase.ROLLED_BACK})
BLOCKED_REASON = "WaitingForIdle"
"""An agent's reason for `Fetched` while the restart gate is closed."""


def told(entry: ShimWanted, target: Target) -> bool:
    """Tell whether an entry describes the target as it is, whoever edited it."""
    return (
        entry.digest == target.digest
        and entry.handler == target.handler
        and entry.disruption == target.disruption
        and entry.artifact == target.artifact
        and entry.options == target.options
    )


def done(entry: ShimWanted | None, seen: ShimObserved | None, target: Target) -> bool:
    """Tell whether a node was asked for the target and has it: the usual case, told quickly."""
    return (
        entry is not None
        and seen is not None
        and seen.phase is Phase.READY
        and entry.phase is Wanted.ACTIVE
        and seen.digest == target.digest
        and seen.observed_digest == target.digest
        and seen.observed_attempt == entry.attempt
        and seen.handler == target.handler
        and told(entry, target)
    )


def answers(entry: ShimWanted, seen: ShimObserved) -> bool:
    """Tell whether what the agent says is about what the spec asks now."""
    return seen.observed_digest == entry.digest and seen.observed_attempt == entry.attempt


def overdue(entry: ShimWanted, late: datetime) -> bool:
    """Tell whether the question is older than the deadline allows."""
    return entry.asked_at is None or entry.asked_at <= late


def proven(seen: ShimObserved, target: Target) -> bool:
    """Tell whether the wanted digest is what works on the node."""
    if seen.phase is Phase.ABSENT:
        return False
    return seen.digest == target.digest and seen.handler == target.handler


def selected(
    entry: ShimWanted | None, seen: ShimObserved | None, target: Target, *, late: datetime
) -> State:
    """Classify a node that shall have the Shim; questions asked before `late` are overdue."""
    if entry is None:
        return _unasked(seen, target)
    if seen is None:
        return _unheard(entry, target, late)
    if seen.phase in CHANGING:
        return _changing(entry, seen, target, late=late)
    if entry.phase is not Wanted.PREFETCH and not _final(entry, seen):
        return _unanswered(entry, seen, target, late=late)
    if entry.digest == target.digest and seen.phase in FAILURES and answers(entry, seen):
        return _failure(entry, seen)
    if proven(seen, target):
        return State.READY
    return _fetch(entry, seen, target, late=late)


def unserved(entry: ShimWanted | None, seen: ShimObserved | None, *, late: datetime) -> State:
    """Classify a selected node for which there is nothing: what was begun there may still run."""
    if entry is None:
        return State.UNSUPPORTED
    if seen is not None and seen.phase in CHANGING:
        return State.WITHDRAWING
    found = _staying(entry, seen, late)
    return State.UNSUPPORTED if found is State.LEAVING else found


def leaving(entry: ShimWanted, seen: ShimObserved | None, *, late: datetime) -> State:
    """Classify a node that shall have nothing of the Shim."""
    if entry.phase is not Wanted.ABSENT:
        return _staying(entry, seen, late)
    if seen is None or not answers(entry, seen):
        return State.REMOVING
    if seen.phase in FAILURES:
        return State.REMOVAL_FAILED
    return _REMOVALS.get(seen.phase, State.REMOVING)


_REMOVALS = {Phase.ABSENT: State.CLEAN, Phase.DRAINING: State.DRAINING}


def _unasked(seen: ShimObserved | None, target: Target) -> State:
    if seen is None:
        return State.FETCHING
    if seen.phase in CHANGING:
        return State.WITHDRAWING
    return State.READY if proven(seen, target) else State.FETCHING


def _unheard(entry: ShimWanted, target: Target, late: datetime) -> State:
    is_late = overdue(entry, late)
    if entry.phase is Wanted.PREFETCH:
        return State.OVERDUE if is_late and entry.digest == target.digest else State.FETCHING
    if not is_late:
        return State.UPDATING
    return _given_up(entry, target)


def _given_up(entry: ShimWanted, target: Target) -> State:
    """What to think of a question without an answer: an old one is to be taken back."""
    stands = entry.phase is Wanted.ACTIVE and entry.digest == target.digest
    return State.STUCK if stands else State.WITHDRAWING


def _changing(entry: ShimWanted, seen: ShimObserved, target: Target, *, late: datetime) -> State:
    if entry.phase is not Wanted.ACTIVE:
        return State.WITHDRAWING
    if seen.phase is Phase.WAITING and answers(entry, seen):
        return State.WAITING
    if not _idle_since(entry, seen, late):
        return State.UPDATING
    return State.STUCK if entry.digest == target.digest else State.WITHDRAWING


def _idle_since(entry: ShimWanted, seen: ShimObserved, late: datetime) -> bool:
    """A node that waited long at the gate gets its time to apply from when it went on."""
    return overdue(entry, late) and (seen.time is None or seen.time <= late)


def _final(entry: ShimWanted, seen: ShimObserved) -> bool:
    if not answers(entry, seen):
        return False
    if entry.phase is Wanted.ABSENT:
        return seen.phase is Phase.ABSENT or seen.phase in FAILURES
    if seen.phase is Phase.READY:
        return seen.digest == entry.digest and seen.handler == entry.handler
    return seen.phase in FAILURES


def _unanswered(entry: ShimWanted, seen: ShimObserved, target: Target, *, late: datetime) -> State:
    stands = entry.phase is Wanted.ACTIVE and entry.digest == target.digest
    if stands and proven(seen, target):
        return State.READY  # back at what it had all the time: nothing changes on the node
    if not overdue(entry, late):
        return State.UPDATING
    return _given_up(entry, target)


def _failure(entry: ShimWanted, seen: ShimObserved) -> State:
    if entry.phase is Wanted.ABSENT:
        return State.FETCHING
    if entry.phase is Wanted.PREFETCH and seen.phase is Phase.FAILED:
        return State.FETCH_FAILED
    return State.FAILED


def _fetch(entry: ShimWanted, seen: ShimObserved, target: Target, *, late: datetime) -> State:
    if entry.digest != target.digest or entry.phase is not Wanted.PREFETCH:
        return State.FETCHING
    if seen.phase is Phase.FETCHED and answers(entry, seen):
        return State.BLOCKED if seen.reason == BLOCKED_REASON else State.FETCHED
    return State.OVERDUE if overdue(entry, late) else State.FETCHING


def _staying(entry: ShimWanted, seen: ShimObserved | None, late: datetime) -> State:
    if entry.phase is Wanted.PREFETCH:
        held = seen is not None and seen.phase in CHANGING and not overdue(entry, late)
        return State.WITHDRAWING if held else State.LEAVING
    if overdue(entry, late) or (seen is not None and _settled(entry, seen)):
        return State.LEAVING
    return State.UPDATING


def _settled(entry: ShimWanted, seen: ShimObserved) -> bool:
    """A node at the gate has touched nothing: it may be asked to go back."""
    return _final(entry, seen) or (seen.phase is Phase.WAITING and answers(entry, seen))
