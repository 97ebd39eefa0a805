"""The conditions of a Shim: what is going on, in a reason for programs and words for people.

Called by `status`. Every message ends in what to do, or says that nothing is to be done. `Ready`,
`Reconciling` and `Stalled` follow kstatus, so that Argo CD and Flux show the right colour. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from rcm_api.conditions import FALSE, TRUE, Condition
from rcm_controller import canaries, finalizers, quota, removal, runtime_classes, targets, waves
from rcm_controller.courses import Aim, Cell, Course
from rcm_controller.runtime_classes import Holder
from rcm_controller.states import State
from rcm_controller.survey import Survey
from rcm_controller.tally import Counts

SHOWN = 3
"""Names in a message; the NodeRuntimes have all of them. A guess."""
CUT = 120
"""Characters of a node's own words in a message. A guess."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What the conditions of one Shim are made from."""

    course: Course
    counts: Counts
    survey: Survey
    stopped: bool
    """Too many nodes failed."""
    exhausted: int
    """Failed nodes that are not tried again."""

    @property
    def paused(self) -> bool:
        """Tell whether a user holds work that is left."""
        return self.course.rollout.paused and self.counts.left > 0


def conditions_of(course: Course, counts: Counts, survey: Survey) -> tuple[Condition, ...]:
    """Return all conditions; `status` adds generations and times."""
    found = Situation(
        course=course,
        counts=counts,
        survey=survey,
        stopped=_stopped(course, counts, survey),
        exhausted=sum(quota.exhausted(cell, survey.world) for cell in counts.troubled),
    )
    progressing, degraded, conflict = _progressing(found), _degraded(found), _conflict(found)
    pinned, ready = _pinned(found), _ready(found)
    stalled = _stalled(found, degraded, conflict, pinned=pinned, ready=ready)
    reconciling = _reconciling(progressing, stalled)
    return ready, progressing, degraded, pinned, conflict, reconciling, stalled


def listed(names: Collection[str]) -> str:
    """Name the first few, and tell how many there are."""
    shown = ", ".join(sorted(names)[:SHOWN])
    more = len(names) - SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _stopped(course: Course, counts: Counts, survey: Survey) -> bool:
    if course.aim is not Aim.ROLL or not counts.failed:
        return False
    return waves.stopped(course, canaries.stages(course, survey.world.now))


def _is(kind: str, reason: str, message: str) -> Condition:
    return Condition(type=kind, status=TRUE, reason=reason, message=message)


def _not(kind: str, reason: str, message: str) -> Condition:
    return Condition(type=kind, status=FALSE, reason=reason, message=message)


def _held(found: Situation) -> tuple[str, str] | None:
    """Say why a Shim has no effect."""
    course, view = found.course, found.course.view
    if course.aim is not Aim.HOLD or view is None:
        return None
    if view.problem is not None:
        problem = view.problem
        return "Invalid", f"{problem.path}: {problem}. To go on: {problem.advice}."
    if course.taken is not None:
        return "Conflict", _taken(course)
    return "DigestRequired", _digest_required(course)


def _taken(course: Course) -> str:
    taken = course.taken
    if taken is None:
        return ""
    return (
        f"{taken.what} {taken.name!r} belongs to the older Shim {taken.holder!r}. "
        f"Choose another {taken.what} here, or delete that Shim."
    )


def _digest_required(course: Course) -> str:
    wanted = course.wanted
    missing = () if wanted is None else (a for a in targets.platforms(wanted) if not a.sha256)
    places = listed([f"{a.os}/{a.arch or 'any'}" for a in missing])
    return f"This cluster refuses artifacts without sha256 ({places}). Add sha256 to each of them."


def _ready(found: Situation) -> Condition:
    held, counts = _held(found), found.counts
    if found.course.aim is Aim.REMOVE:
        return _not("Ready", "Deleting", "The Shim is being removed from its nodes.")
    if held is not None:
        return _not("Ready", *held)
    if not counts.nodes:
        message = "nodeSelector matches no node; nodes that come to match it are served."
        return _is("Ready", "NoNodes", message)
    if counts.unsupported == counts.nodes:
        return _not("Ready", "NoSupportedNode", _unsupported(found))
    if counts.left or not counts.ready:
        return _not("Ready", "NodesNotReady", _share(counts))
    return _is("Ready", "AllNodesReady", _share(counts))


def _share(counts: Counts) -> str:
    parts = [f"{counts.ready} of {counts.nodes} nodes have the wanted version"]
    if counts.waiting:
        parts.append(f"{counts.waiting} wait for pods that a restart would end")
    if counts.failed:
        parts.append(f"{counts.failed} failed")
    if counts.down:
        parts.append(f"{counts.down} are down and follow when they are back")
    if counts.unsupported:
        parts.append(f"{counts.unsupported} cannot be served (kubectl get noderuntimes says why)")
    return "; ".join(parts) + "."


def _unsupported(found: Situation) -> str:
    names = [cell.node.name for cell in found.course.cells]
    return (
        f"None of {len(names)} nodes can be served: {listed(names)}. Add an artifact for their "
        "platform, or see the condition Supported of their NodeRuntimes."
    )


def _progressing(found: Situation) -> Condition:
    kind, counts, course = "Progressing", found.counts, found.course
    held = _held(found)
    if course.aim is Aim.REMOVE:
        return _is(kind, "Deleting", _deletion(found))
    if held is not None:
        return _not(kind, *held)
    if not course.started:
        return _is(kind, "Starting", "The finalizer is being set.")
    if found.stopped and counts.left:
        return _not(kind, "Stopped", "No further node is changed; see the condition Degraded.")
    if found.paused and not counts.updating and not counts.waiting:
        message = f"{counts.left} nodes are left. Set rolloutStrategy.paused to false to go on."
        return _not(kind, "Paused", message)
    if counts.left > found.exhausted:
        return _is(kind, *_work(found))
    if counts.leaving:
        message = f"{counts.leaving} nodes are being cleaned{_draining(counts)}."
        return _is(kind, "Cleaning", message)
    return _not(kind, "Complete", "Nothing is left to do.")


def _work(found: Situation) -> tuple[str, str]:
    counts, cells = found.counts, found.course.undone
    message = _share(counts)
    if counts.waiting and counts.waiting == counts.left:
        names = listed([cell.node.name for cell in cells if cell.state is State.WAITING])
        advice = "Drain them, or set rolloutStrategy.disruption to Allow."
        return "WaitingForPods", f"{message} Waiting: {names}. {advice}"
    if not counts.ready and not counts.updating and not counts.waiting:
        return "Fetching", f"{message} Nodes are fetching the artifact."
    return "RollingOut", message


def _draining(counts: Counts) -> str:
    return f"; {counts.draining} wait until their pods are gone" if counts.draining else ""


def _deletion(found: Situation) -> str:
    course, world = found.course, found.survey.world
    nodes = [c for c in course.leaving if not removal.forsaken(c, course, world)]
    if not nodes:
        rest = listed(list(finalizers.remains(course, found.survey)))
        return f"Left: {rest}." if rest else "Nothing is left."
    message = f"{len(nodes)} nodes are not clean: {listed([c.node.name for c in nodes])}."
    if found.counts.draining:
        names = listed([c.node.name for c in nodes if c.state is State.DRAINING])
        message += f" Pods still use the shim on {names}: delete or move them."
    down = [c.node.name for c in nodes if not c.live]
    if down:
        deadline_s = int(world.policy.dead_node_deadline.total_seconds())
        message += f" Down: {listed(down)}; they are not waited for longer than {deadline_s} s."
    return message


def _degraded(found: Situation) -> Condition:
    counts, kind = found.counts, "Degraded"
    if found.course.aim is not Aim.ROLL or not counts.troubled:
        return _not(kind, "NoFailures", "")
    failed = [cell for cell in counts.troubled if cell.state is not State.OVERDUE]
    if not failed:
        return _is(kind, "AgentSilent", _silent(counts.troubled))
    words = "; ".join(map(_own_words, failed[:SHOWN]))
    more = f" and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
    if found.stopped:
        advice = "The rollout stopped; other nodes keep what they have. Change the Shim to go on."
        return _is(kind, "RolloutStopped", f"{len(failed)} nodes failed: {words}{more}. {advice}")
    if found.exhausted:
        advice = f"{found.exhausted} are not tried again: mend the node, then change the Shim."
        return _is(kind, "NodesFailed", f"{len(failed)} nodes failed: {words}{more}. {advice}")
    return _is(
        kind, "Retrying", f"{len(failed)} nodes failed: {words}{more}. They are tried again."
    )


def _own_words(cell: Cell) -> str:
    if cell.state is State.STUCK or cell.seen is None:
        return f"{cell.node.name}: no answer from its agent"
    said = (cell.seen.message or cell.seen.reason or cell.seen.phase).strip().rstrip(".")
    return f"{cell.node.name}: {said[:CUT]}"


def _silent(cells: Iterable[Cell]) -> str:
    names = [cell.node.name for cell in cells]
    return (
        f"{len(names)} nodes did not fetch the artifact in time: {listed(names)}. "
        "See whether the agent's pod runs there."
    )


def _pinned(found: Situation) -> Condition:
    wanted, kind, view = found.course.wanted, "Pinned", found.course.view
    if wanted is None or view is None:
        return _not(kind, "Unknown", "The manifest cannot be read.")
    if not targets.unpinned(wanted):
        return _is(kind, "Given", "The manifest names the sha256 of every artifact.")
    if found.survey.world.policy.require_digest:
        return _not(kind, "DigestRequired", _digest_required(found.course))
    if all(targets.sha256(a, view.status.artifacts) for a in targets.platforms(wanted)):
        advice = "Copy the sha256 from status.artifacts to the manifest to fix it."
        return _is(kind, "TrustOnFirstUse", f"Every node must match the first download. {advice}")
    return _not(kind, "FirstDownload", "One node per platform fetches the artifact first.")


def _conflict(found: Situation) -> Condition:
    course, kind = found.course, "Conflict"
    if course.taken is not None and course.aim is Aim.HOLD:
        return _is(
            kind, f"{course.taken.what[0].upper()}{course.taken.what[1:]}Taken", _taken(course)
        )
    spec = runtime_classes.wanted(course)
    existing = None if spec is None else found.survey.world.classes.get(spec.name)
    if course.aim is not Aim.ROLL or spec is None or existing is None:
        return _not(kind, "NoConflict", "")
    if runtime_classes.holder(existing, spec) is not Holder.OTHER:
        return _not(kind, "NoConflict", "")
    message = (
        f"RuntimeClass {spec.name!r} belongs to somebody else and is left alone; nodes are served. "
        "Delete it, or choose another runtimeClass.name."
    )
    return _is(kind, "RuntimeClassForeign", message)


def _stalled(
    found: Situation,
    degraded: Condition,
    conflict: Condition,
    *,
    pinned: Condition,
    ready: Condition,
) -> Condition:
    """Tell whether nothing more happens until a person does something."""
    if found.course.aim is Aim.REMOVE:
        return _not("Stalled", "Deleting", "")
    if found.course.aim is Aim.HOLD:
        return _is("Stalled", ready.reason, ready.message)
    if conflict.status == TRUE:
        return _is("Stalled", conflict.reason, conflict.message)
    if found.stopped or (found.exhausted and found.exhausted >= found.counts.left):
        return _is("Stalled", degraded.reason, degraded.message)
    if ready.reason == "NoSupportedNode":
        return _is("Stalled", ready.reason, ready.message)
    return _not("Stalled", "Moving" if pinned.status == TRUE else pinned.reason, "")


def _reconciling(progressing: Condition, stalled: Condition) -> Condition:
    going = progressing.status == TRUE and stalled.status == FALSE
    make = _is if going else _not
    return make("Reconciling", progressing.reason, progressing.message)
