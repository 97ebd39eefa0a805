"""Carries an operation out, step by step, and puts the host back when a step fails.

Called by `apply`, `remove` and `session`. The invariant: the journal names the step before it is
taken, so whoever comes after a kill or a power cut (recovery, the dead man's switch, a plain boot)
ends on the state before or the state after. `plan` decides, `forward` and `back` do.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Literal

from rcm_agent import back, errors, forward, plan, records, settings
from rcm_agent.host import files, memory
from rcm_agent.records import Step
from rcm_agent.work import Work


def carry_out(work: Work, operation: records.Operation) -> None:
    """Take every step; at a failure put everything back.

    Raises:
        RolledBack: a step failed and the host is on its former state.
        Blocked, BudgetSpent: the same, and containerd was not restarted.
        Degraded: a step failed, and putting back failed too.
        HostError: the host is on its new state, and something of the old one is still there.
    """
    _attempt(work, operation, operation.steps)


def _attempt(work: Work, operation: records.Operation, steps: tuple[Step, ...]) -> None:
    try:
        operation = _take(work, operation, steps)
    except (errors.Blocked, errors.BudgetSpent, KeyboardInterrupt) as failure:
        if not _is_clean(work):
            _give_up(work, operation, failure)
        raise
    except errors.AgentError as failure:
        if _is_clean(work):
            raise errors.HostError(
                f"the change is done, but not its clean-up: {failure.cause}",
                advice="run 'rcm-agent recover' once the cause is gone",
            ) from failure
        _give_up(work, operation, failure)
        advice = failure.advice or f"look at the journal of {work.site.unit} for the reason"
        raise errors.RolledBack(failure.cause, advice=advice) from failure
    _settle(work, _remembered(work, operation.after))


def remember(work: Work, after: records.Generation, *, contents: Iterable[bytes]) -> None:
    """Take over a generation that the host is in already: another digest, a foreign edit.

    `contents` are those that it refers to, and perhaps more.
    """
    generation = _remembered(work, after)
    if generation == work.current:
        return
    needed = memory.referenced(generation)
    for data in contents:
        if files.digest(data) in needed:
            work.memory.save(data)
    _settle(work, generation)


def _is_clean(work: Work) -> bool:
    """Tell whether only the clean-up is left: binaries go there, so there is no way back."""
    reached = work.memory.journal.operation
    return reached is not None and reached.step is Step.CLEAN


def recover(work: Work) -> str:
    """Finish or undo what a killed run left; says which, empty when there was nothing.

    Raises:
        RolledBack: finishing failed and the host is on its former state.
        HostError: the same, and some file still waits for its former bytes.
        Degraded: the host could not be put back.
    """
    operation = work.memory.journal.operation
    if operation is None:
        return ""
    work.settle(operation)
    first = operation.steps.index(operation.step)
    if operation.step is Step.DISARM:
        # Taken back already, or fired: once it cannot fire any more, the files tell which.
        work.host.systemd.disarm(settings.SWITCH)
        first += 1
    if _recovery(work, operation) == "undo":
        late = _give_up(work, operation, None)
        if late is not None:
            raise late
        return f"undone: a run was killed at the step '{operation.step}'"
    _attempt(work, operation, operation.steps[first:])
    return f"finished: a run was killed at the step '{operation.step}'"


def _recovery(work: Work, operation: records.Operation) -> Literal["finish", "undo"]:
    observed = work.observe(operation.after.handlers)
    found = [
        (files.digest(files.read(work.host.kernel, f.path)), f.trial, f.final)
        for f in operation.files
    ]
    committed = all(sha == final for sha, _, final in found)
    tried = all(sha in {trial, final} for sha, trial, final in found)
    stands = committed or (tried and observed.boot_id == operation.boot_id)
    if operation.step in {Step.DISARM, Step.COMMIT} and not stands:
        return "undo"
    return plan.recovery(operation, observed, committed=committed)


def _take(work: Work, operation: records.Operation, steps: tuple[Step, ...]) -> records.Operation:
    for step in steps:
        operation = dataclasses.replace(operation, step=step)
        work.memory.write(records.Journal(work.current, operation))
        with work.tell.step(step, forward.detail(work, step, operation)):
            proofs = forward.take(work, step, operation)
        operation = _with(operation, proofs)
    return operation


def _with(operation: records.Operation, proofs: Mapping[str, str]) -> records.Operation:
    shims = tuple(
        dataclasses.replace(s, proven=proofs.get(s.handler, s.proven))
        for s in operation.after.shims
    )
    return dataclasses.replace(operation, after=dataclasses.replace(operation.after, shims=shims))


def _remembered(work: Work, after: records.Generation) -> records.Generation:
    """The configuration as it was proven; where nothing of ours is left, nothing is remembered."""
    if not after.shims:
        return records.Generation()
    return dataclasses.replace(after, tree=plan.fingerprint(work.tree(after.containerd)))


def _give_up(
    work: Work, operation: records.Operation, failure: BaseException | None
) -> errors.HostError | None:
    """Undo; what is left for later keeps the operation in the journal, and is returned."""
    reached = work.memory.journal.operation
    step = reached.step if reached is not None else Step.PREPARE
    try:
        with work.tell.step("undo", f"from the step '{step}'"):
            late = back.undo(work, reached or operation)
    except errors.AgentError as second:
        first = f"{failure}; " if failure is not None else ""
        raise errors.Degraded(
            f"{first}putting the former state back failed: {second.cause}",
            advice=second.advice or "run 'rcm-agent recover' once the cause is gone",
        ) from (failure or second)
    if late is None:
        _settle(work, work.current)
    else:
        work.tell.note("warning", f"left for 'rcm-agent recover', without effect: {late.cause}")
    return late


def _settle(work: Work, generation: records.Generation) -> None:
    work.memory.write(records.Journal(current=generation))
    # All is done and said; what cannot be dropped now is dropped by the next run.
    with contextlib.suppress(errors.HostError):
        work.memory.forget(keep=memory.referenced(generation))
