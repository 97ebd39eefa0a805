"""The conditions of a Shim: what is going on, in a reason for programs and words for people.

Called by `status`. Every message ends in what to do, or says that nothing is to be done. `Ready`,
`Reconciling` and `Stalled` follow kstatus, so that Argo CD and Flux show the right colour. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from rcm_api.conditions import FALSE, TRUE, Condition
from rcm_controller import canaries, phrases, quota, removal, runtime_classes, targets, waves
from rcm_controller.courses import Aim, Cell, Course
from rcm_controller.runtime_classes import Holder
from rcm_controller.states import State
from rcm_controller.survey import Survey
from rcm_controller.tally import Counts


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
    spent: bool
    """These take all places of the budget: nothing moves until a person does something."""

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
        spent=_is_spent(course, counts, survey),
    )
    ready, progressing = _ready(found), _progressing(found)
    degraded, conflict = _degraded(found), _conflict(found)
    stalled = _stalled(found, degraded=degraded, conflict=conflict, ready=ready)
    reconciling = _reconciling(progressing, stalled)
    return ready, progressing, degraded, _pinned(found), conflict, reconciling, stalled


def _stopped(course: Course, counts: Counts, survey: Survey) -> bool:
    if course.aim is not Aim.ROLL or not counts.failed:
        return False
    return waves.stopped(course, canaries.stages(course, survey.world.now))


def _is_spent(course: Course, counts: Counts, survey: Survey) -> bool:
    if course.aim is not Aim.ROLL or not counts.failed or course.rollout.type == "recreate":
        return False
    if counts.updating or counts.waiting:
        return False
    failed = (cell for cell in counts.troubled if cell.state is State.FAILED)
    left_to_a_person = sum(quota.exhausted(cell, survey.world) for cell in failed)
    return left_to_a_person >= quota.allowed(course)


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
        return "Invalid", f"{problem}. To go on: {problem.advice}."
    if course.taken is not None:
        return "Conflict", phrases.taken(course)
    return "DigestRequired", phrases.digest_required(course)


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
        return _not("Ready", "NoSupportedNode", phrases.unsupported(found.course))
    if counts.left or not counts.ready:
        return _not("Ready", "NodesNotReady", phrases.share(counts))
    return _is("Ready", "AllNodesReady", phrases.share(counts))


def _progressing(found: Situation) -> Condition:
    kind, counts, course = "Progressing", found.counts, found.course
    held = _held(found)
    if course.aim is Aim.REMOVE:
        reason = "DeletionBlocked" if _is_blocked(found) else "Deleting"
        return _is(kind, reason, phrases.deletion(course, found.survey))
    if held is not None:
        return _not(kind, *held)
    if not course.started:
        return _is(kind, "Starting", "The finalizer is being set.")
    if found.stopped and counts.left:
        return _not(kind, "Stopped", "No further node is changed; see the condition Degraded.")
    if found.paused and not counts.updating and not counts.waiting:
        message = (
            f"{phrases.nodes(counts.left)} left. Set rolloutStrategy.paused to false to go on."
        )
        return _not(kind, "Paused", message)
    if found.spent and counts.left > found.exhausted:
        message = "Failed nodes take all places of maxUpdate; see the condition Degraded."
        return _not(kind, "BudgetSpent", message)
    if counts.left > found.exhausted:
        return _is(kind, *_work(found))
    if counts.leaving:
        message = f"Cleaning {phrases.nodes(counts.leaving)}{phrases.draining(counts)}."
        return _is(kind, "Cleaning", message)
    if counts.nodes and counts.unsupported == counts.nodes:
        return _not(kind, "NoSupportedNode", phrases.unsupported(course))
    return _not(kind, "Complete", "Nothing is left to do.")


def _is_blocked(found: Situation) -> bool:
    """Tell whether a deletion waits for nothing but pods and nodes that are down."""
    world = found.survey.world
    left = [c for c in found.course.leaving if not removal.forsaken(c, found.course, world)]
    return bool(left) and all(_drains(c) or not c.live for c in left)


def _drains(cell: Cell) -> bool:
    """Without pods in its way it is a moment's state: the agent goes on by itself."""
    return cell.state is State.DRAINING and removal.in_use(cell)


def _work(found: Situation) -> tuple[str, str]:
    counts, cells = found.counts, found.course.undone
    message = phrases.share(counts)
    if counts.waiting and counts.waiting == counts.left:
        names = phrases.listed([cell.node.name for cell in cells if cell.state is State.WAITING])
        advice = "Drain them, or set rolloutStrategy.disruption to Allow."
        return "WaitingForPods", f"{message} Waiting: {names}. {advice}"
    if not counts.ready and not counts.updating and not counts.waiting:
        return "Fetching", f"{message} Nodes are fetching the artifact."
    return "RollingOut", message


def _degraded(found: Situation) -> Condition:
    counts, kind = found.counts, "Degraded"
    if found.course.aim is not Aim.ROLL or not counts.troubled:
        return _not(kind, "NoFailures", "")
    failed = [cell for cell in counts.troubled if cell.state is not State.OVERDUE]
    if not failed:
        return _is(kind, "AgentSilent", phrases.silent(counts.troubled))
    said = f"{phrases.nodes(len(failed))} failed: {phrases.reasons(failed)}."
    if found.stopped:
        advice = "The rollout stopped; other nodes keep what they have. Change the Shim to go on."
        return _is(kind, "RolloutStopped", f"{said} {advice}")
    if found.exhausted:
        advice = f"{found.exhausted} not tried again: mend the node, then change the Shim."
        if found.spent and counts.left > found.exhausted:
            advice += " Until then no other node changes, unless you raise rolling.maxUpdate."
        return _is(kind, "NodesFailed", f"{said} {advice}")
    return _is(kind, "Retrying", f"{said} Trying again.")


def _pinned(found: Situation) -> Condition:
    wanted, kind, view = found.course.wanted, "Pinned", found.course.view
    if wanted is None or view is None:
        return _not(kind, "Unknown", "The manifest cannot be read.")
    if not targets.unpinned(wanted):
        return _is(kind, "Given", "The manifest names the sha256 of every artifact.")
    if found.survey.world.policy.require_digest:
        return _not(kind, "DigestRequired", phrases.digest_required(found.course))
    if all(targets.sha256(a, view.status.artifacts) for a in targets.platforms(wanted)):
        advice = "Copy the sha256 from status.artifacts to the manifest to fix it."
        return _is(kind, "TrustOnFirstUse", f"Every node must match the first download. {advice}")
    return _not(kind, "FirstDownload", "One node per platform fetches the artifact first.")


def _conflict(found: Situation) -> Condition:
    course, kind = found.course, "Conflict"
    if course.taken is not None and course.aim is Aim.HOLD:
        return _is(
            kind,
            f"{course.taken.what[0].upper()}{course.taken.what[1:]}Taken",
            phrases.taken(course),
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
    found: Situation, *, degraded: Condition, conflict: Condition, ready: Condition
) -> Condition:
    """Tell whether nothing more happens until a person does something."""
    if found.course.aim is Aim.REMOVE:
        return _not("Stalled", "Deleting", "")
    if found.course.aim is Aim.HOLD:
        return _is("Stalled", ready.reason, ready.message)
    if conflict.status == TRUE:
        return _is("Stalled", conflict.reason, conflict.message)
    if found.stopped or found.spent or (found.exhausted and found.exhausted >= found.counts.left):
        return _is("Stalled", degraded.reason, degraded.message)
    if ready.reason == "NoSupportedNode":
        return _is("Stalled", ready.reason, ready.message)
    return _not("Stalled", "NotStalled", "")


def _reconciling(progressing: Condition, stalled: Condition) -> Condition:
    going = progressing.status == TRUE and stalled.status == FALSE
    make = _is if going else _not
    return make("Reconciling", progressing.reason, progressing.message)
