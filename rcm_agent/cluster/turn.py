"""Carries one decision out: prepares Shims, and changes the host in one operation for all that go.

Called by `loop`, with the lock held. The operation itself is `rcm_agent.apply`'s and
`transaction`'s; here is who takes part, and who is left out because of an error of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rcm_agent import apply, desired, errors, fetch, records, settings
from rcm_agent.records import Installed
from rcm_agent.work import Work

Failures = Mapping[str, errors.AgentError]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an operation."""

    done: bool = False
    """The host is on the new state."""
    failed: Failures = field(default_factory=dict[str, errors.AgentError])
    """Shims that were left out, or all that took part when it failed."""
    error: errors.AgentError | None = None
    """Why it failed as a whole."""
    changed: bool = False
    """Something was done to the host; else it only is remembered."""


def operate(
    work: Work, wanted: Sequence[desired.Wanted], gone: frozenset[str] = frozenset()
) -> Outcome:
    """Have the Shims, and be rid of others; what fails by itself does not hold the rest.

    Raises:
        Blocked: the restart would end running containers; nothing was touched.
    """
    failed: dict[str, errors.AgentError] = {}
    try:
        _refuse_pending(work)
        seen = apply.look(work, wanted)
        found = _prepared(work, _apart(work, wanted, gone, failed), failed)
        proposal = _proposal(work, found, seen, gone=gone, failed=failed)
        if proposal is None:
            return Outcome(failed=failed)
        _pass(work, proposal)
        apply.carry_out(work, proposal)
    except errors.Blocked:
        raise
    except errors.AgentError as error:
        names = {one.name for one in wanted} | gone
        return Outcome(failed={**dict.fromkeys(names, error), **failed}, error=error)
    return Outcome(done=True, failed=failed, changed=proposal.operation is not None)


def spent(work: Work) -> float:
    """Return how many seconds from now a restart is within the budget again; 0: it is now."""
    machine = work.host.machine
    now = machine.uptime_s()
    times = work.memory.restarts(boot_id=machine.boot_id(), uptime_s=now)
    if len(times) < settings.RESTART_BUDGET:
        return 0.0
    return settings.RESTART_WINDOW_S - (now - times[-settings.RESTART_BUDGET])


def restarts_since(work: Work, uptime_s: float) -> int:
    """Count the restarts of containerd that an agent caused since then."""
    machine = work.host.machine
    times = work.memory.restarts(boot_id=machine.boot_id(), uptime_s=machine.uptime_s())
    return sum(time >= uptime_s for time in times)


def _refuse_pending(work: Work) -> None:
    """An operation that is not over is finished or undone first, or its way back would be lost."""
    pending = work.memory.journal.operation
    if pending is not None:
        raise errors.HostError(
            f"an operation that was cut at '{pending.step}' must be recovered first",
            advice="the agent tries that again by itself",
        )


def _apart(
    work: Work,
    wanted: Sequence[desired.Wanted],
    gone: frozenset[str],
    failed: dict[str, errors.AgentError],
) -> list[desired.Wanted]:
    """Leave out whoever claims the handler of another Shim."""
    names = {one.name for one in wanted} | gone
    taken = {s.handler: s.name for s in work.current.shims if s.name not in names}
    found: list[desired.Wanted] = []
    for one in wanted:
        other = taken.setdefault(one.handler, one.name)
        if other == one.name:
            found.append(one)
            continue
        failed[one.name] = errors.HandlerTaken(
            f"the Shim {other} has the handler {one.handler!r} on this node",
            advice=f"choose another handler, or remove {other} first",
        )
    return found


def _prepared(
    work: Work, wanted: Sequence[desired.Wanted], failed: dict[str, errors.AgentError]
) -> list[Installed]:
    """Check every byte once more, right before it is used."""
    found: list[Installed] = []
    for one in wanted:
        try:
            found.append(fetch.prepare(work, one))
        except errors.AgentError as error:
            failed[one.name] = error
    return found


def _proposal(
    work: Work,
    found: Sequence[Installed],
    seen: apply.Seen,
    *,
    gone: frozenset[str],
    failed: dict[str, errors.AgentError],
) -> apply.Proposal | None:
    """Choose what to do for all; if that cannot be, for those with whom it can. None: nobody."""
    if failed and not found and not gone:
        return None
    try:
        return apply.propose(work, tuple(found), seen, gone=gone)
    except errors.ConfigRefused:
        if len(found) + bool(gone) < 2:  # noqa: PLR2004 - one alone is to blame
            raise
    fit = [one for one in found if _fits(work, one, seen, failed)]
    if not fit and not gone:
        return None
    return apply.propose(work, tuple(fit), seen, gone=gone)


def _fits(
    work: Work, one: Installed, seen: apply.Seen, failed: dict[str, errors.AgentError]
) -> bool:
    try:
        apply.propose(work, (one,), seen)
    except errors.ConfigRefused as error:
        failed[one.name] = error
        return False
    return True


def _pass(work: Work, proposal: apply.Proposal) -> None:
    """Refuse before anything is touched what would be refused in the middle."""
    operation = proposal.operation
    if operation is None or records.Step.RESTART not in operation.steps:
        return
    if proposal.blockers and not work.chosen.allow_disruption:
        raise errors.Blocked(proposal.blockers, advice="they must end first")
    wait_s = spent(work)
    if wait_s > 0:
        raise errors.BudgetSpent(
            f"containerd was restarted {settings.RESTART_BUDGET} times within "
            f"{settings.RESTART_WINDOW_S / 60:.0f} minutes",
            advice=f"find out why; a restart is allowed again in {wait_s:.0f} s",
        )
