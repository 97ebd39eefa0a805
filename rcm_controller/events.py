"""What people are told at a Shim and at its nodes when something turned.

Called by `rollout`. A turn is a difference between the status that stands in the object and the new
one: nothing is remembered, and a new leader repeats none that the former wrote down. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rcm_api import conditions
from rcm_api.noderuntime import Phase, ShimObserved
from rcm_api.shim_status import ShimStatus
from rcm_controller import tally, views
from rcm_controller.actions import EmitEvent
from rcm_controller.courses import Aim, Cell, Course
from rcm_controller.states import FAILURES
from rcm_controller.survey import Survey

MOST_NODES = 10
"""Nodes that are told about at one look; the Shim's status has the number of all. A guess."""
SMALL = 8
"""Rollouts of fewer nodes have no progress worth telling. A guess."""


def of(found: Survey, told: Mapping[str, ShimStatus]) -> tuple[EmitEvent, ...]:
    """Return what the new statuses turn."""
    turns = (
        event for name, latter in told.items() for event in _course(found.courses[name], latter)
    )
    return tuple(turns)


def _course(course: Course, latter: ShimStatus) -> Iterator[EmitEvent]:
    view = course.view
    if view is None or view.status == latter:
        return
    yield from _shim(view, latter)
    yield from _nodes(course, latter.nodes_failed - view.status.nodes_failed)


def _shim(view: views.ShimView, latter: ShimStatus) -> Iterator[EmitEvent]:
    for reason, message, warning in (
        *_turned(view.status, latter),
        *_proven(view.status, latter),
        *_progress(view.status, latter),
    ):
        yield EmitEvent("Shim", view.name, view.uid, reason, message, warning)


_Turn = tuple[str, str, bool]
_BEGAN: Mapping[tuple[str, str], tuple[str, bool]] = {
    ("Progressing", "Starting"): ("RolloutStarted", False),
    ("Progressing", "RollingOut"): ("RolloutStarted", False),
    ("Progressing", "Fetching"): ("RolloutStarted", False),
    ("Progressing", "WaitingForPods"): ("WaitingForPods", True),
    ("Progressing", "Paused"): ("RolloutPaused", False),
    ("Progressing", "Cleaning"): ("CleaningNodes", False),
    ("Progressing", "Deleting"): ("Deleting", False),
    ("Progressing", "DeletionBlocked"): ("DeletionBlocked", True),
    ("Degraded", "RolloutStopped"): ("RolloutStopped", True),
    ("Degraded", "NodesFailed"): ("NodesFailed", True),
    ("Degraded", "AgentSilent"): ("AgentSilent", True),
    ("Ready", "AllNodesReady"): ("RolloutFinished", False),
    ("Ready", "Invalid"): ("Invalid", True),
    ("Ready", "NoSupportedNode"): ("NoSupportedNode", True),
    ("Pinned", "TrustOnFirstUse"): ("ArtifactPinned", False),
    ("Pinned", "DigestRequired"): ("DigestRequired", True),
    ("Conflict", "HandlerTaken"): ("Conflict", True),
    ("Conflict", "RuntimeClassTaken"): ("Conflict", True),
    ("Conflict", "RuntimeClassForeign"): ("Conflict", True),
    ("Conflict", "NoConflict"): ("ConflictResolved", False),
}
"""What a condition's new reason is called as an event, and whether it is a warning."""
_ROLLING = frozenset({"Starting", "RollingOut", "Fetching"})


def _turned(former: ShimStatus, latter: ShimStatus) -> Iterator[_Turn]:
    for found in latter.conditions:
        known = conditions.find(former.conditions, found.type)
        was = "" if known is None else known.reason
        event = _BEGAN.get((found.type, found.reason))
        if event is None or was == found.reason or _goes_on(was, found.reason):
            continue
        if found.reason == "NoConflict" and not was:
            continue
        yield event[0], found.message or "The conflict is gone.", event[1]


def _goes_on(was: str, reason: str) -> bool:
    """Fetching, then rolling out, is one rollout; after a wait for pods it is the same one."""
    if (was, reason) == ("DeletionBlocked", "Deleting"):
        return True
    return reason in _ROLLING and was in {*_ROLLING, "WaitingForPods"}


def _proven(former: ShimStatus, latter: ShimStatus) -> Iterator[_Turn]:
    known = {(canary.node_class, canary.digest) for canary in former.canaries}
    for canary in latter.canaries:
        if (canary.node_class, canary.digest) not in known:
            message = f"Nodes of the class {canary.node_class} proved the new version."
            yield "CanariesProven", message, False


def _progress(former: ShimStatus, latter: ShimStatus) -> Iterator[_Turn]:
    """Tell each quarter of the way, not each node."""
    if latter.nodes < SMALL or former.observed_generation != latter.observed_generation:
        return
    quarter = 4 * latter.nodes_ready // latter.nodes
    if 4 * former.nodes_ready // latter.nodes < quarter < 4:  # noqa: PLR2004 - quarters
        message = f"{latter.nodes_ready} of {latter.nodes} nodes have the new version."
        yield "RolloutProgress", message, False


def _nodes(course: Course, new: int) -> Iterator[EmitEvent]:
    """Tell at the Nodes that failed last; each said it in its own words."""
    if new < 1 or course.aim is not Aim.ROLL:
        return
    failed = [cell for cell in course.undone if cell.state in tally.TROUBLED and cell.seen]
    failed.sort(key=_moment, reverse=True)
    for cell in failed[: min(new, MOST_NODES)]:
        if cell.seen is not None and cell.seen.phase in FAILURES:
            yield _failed(cell.node, cell.seen)


def _moment(cell: Cell) -> tuple[float, str]:
    time = None if cell.seen is None else cell.seen.time
    return 0.0 if time is None else time.timestamp(), cell.node.name


def _failed(node: views.NodeView, seen: ShimObserved) -> EmitEvent:
    reason = "ShimRolledBack" if seen.phase is Phase.ROLLED_BACK else "ShimFailed"
    message = f"Shim {seen.name}: {seen.message or seen.reason or 'no reason given'}"
    return EmitEvent("Node", node.name, node.uid, reason, message, warning=True)
