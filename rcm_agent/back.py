"""Putting the host back on the generation before an operation, whatever step was reached.

Called by `transaction` after a failure and by recovery after a kill. Level-triggered: it looks at
what is there, not at what should have happened.
"""

from __future__ import annotations

from rcm_agent import (
    check,
    errors,
    gate,
    look,
    plan,
    ports,
    proof,
    records,
    restart,
    settings,
    switch,
)
from rcm_agent.containerd import propose
from rcm_agent.distro import site
from rcm_agent.host import files
from rcm_agent.records import Step
from rcm_agent.work import Work

EDITOR_ATTEMPTS = 5
"""Somebody who writes the same file within each of five tries of some milliseconds is a program
that fights us; a guess."""


def undo(work: Work, operation: records.Operation) -> errors.HostError | None:
    """Put files and stable paths back, then containerd, then drop what the operation brought.

    Returns what kept a file from its former bytes although it has its former effect: a full disk
    has no room for them. The operation must be remembered then, for a later run to finish.

    Raises:
        AgentError: the former state could not be put back.
    """
    guarded = _guard(work, operation)
    _proofs(work, operation)
    late = _files(work, operation)
    _links(work, operation)
    _containerd(work, operation)
    if not work.host.systemd.disarm(settings.SWITCH) and guarded:
        late = _files(work, operation)
        _containerd(work, operation)
    _proofs(work, operation)
    # Programs of the switch do not sync: what it put back must last before binaries go.
    work.settle(operation)
    _leftovers(work, operation)
    return late


def _guard(work: Work, operation: records.Operation) -> bool:
    """Wind the switch up again: it must outlive us until containerd has left the trial."""
    armed = records.ORDER.index(operation.step) >= records.ORDER.index(Step.ARM)
    if Step.ARM not in operation.steps or not armed:
        return False
    programs = switch.commands(operation, work.host.kernel, unit=work.site.unit)
    work.host.systemd.arm(settings.SWITCH, delay_s=settings.SWITCH_DELAY_S, commands=programs)
    return True


def _proofs(work: Work, operation: records.Operation) -> None:
    """Remove the sandbox of a proof that was killed, if CRI answers."""
    if Step.PROVE not in operation.steps:
        return
    try:
        proof.remove_leftovers(work.host)
    except errors.CriError:
        return


def _files(work: Work, operation: records.Operation) -> errors.HostError | None:
    """Put the files back, again when somebody else writes one at that very moment."""
    for attempt in range(1, EDITOR_ATTEMPTS + 1):
        try:
            return _put_back(work, operation)
        except errors.Conflict:
            if attempt == EDITOR_ATTEMPTS:
                raise
    return None


def _put_back(work: Work, operation: records.Operation) -> errors.HostError | None:
    foreign = False
    late: errors.HostError | None = None
    for change in operation.files:
        found = files.read(work.host.kernel, change.path)
        sha = files.digest(found)
        if sha in {change.attached, change.trial, change.final} - {change.before}:
            late = _put(work, change, found) or late
        foreign = foreign or sha not in {
            change.before,
            change.attached,
            change.trial,
            change.final,
        }
    if foreign:
        _take_ours_out(work, operation)
    work.remove_empty(operation)
    if late is not None and not _means_the_former_state(work, operation):
        raise late
    return late


def _put(work: Work, change: records.FileChange, found: bytes | None) -> errors.HostError | None:
    """Put one file back, or return why not: the others must not wait for it."""
    data = work.memory.content(change.before)
    try:
        work.put(change.path, expected=found, data=data)
    except errors.Conflict:
        raise
    except errors.HostError as error:
        return error
    return None


def _means_the_former_state(work: Work, operation: records.Operation) -> bool:
    """Tell whether containerd would read the former runtimes from the files as they are.

    With the trial gone from /run, files that only attach it have no effect of their own.
    """
    dump = check.Check(work.host, work.site).real()
    gone = operation.after.handlers - work.current.handlers
    return not check.problems(dump, wanted=work.current.runtimes, gone=gone)


def _take_ours_out(work: Work, operation: records.Operation) -> None:
    """Somebody edited a file meanwhile: undo our part, keep theirs."""
    status = look.status(work.host)
    version = status.runtime_version if status else operation.after.containerd
    edits = propose.propose(
        tree=work.tree(version),
        release=site.release(version),
        runtimes=work.current.runtimes,
        owned=work.owned(operation.after.owned),
        dump=check.Check(work.host, work.site).real(),
    )
    for path, data in edits[0].final.items() if edits else ():
        work.put(path, expected=files.read(work.host.kernel, path), data=data)


def _links(work: Work, operation: records.Operation) -> None:
    for change in operation.links:
        if change.before is None:
            files.remove(work.host.kernel, change.path)
        else:
            files.swap_link(work.host.kernel, change.path, change.before)
    work.remove_empty(operation)


def _containerd(work: Work, operation: records.Operation) -> None:
    before = work.current
    observed = work.observe(operation.after.handlers)
    if not plan.undo_needs_restart(operation, before, observed):
        if observed.status is None:
            raise errors.HostError(
                f"the former files are back, but CRI does not answer on {work.site.socket}",
                advice=f"mend containerd first: journalctl -u {work.site.unit}",
            )
        return
    work.host.systemd.reset_failed(work.site.unit)
    restart.restart(work, refuse=False)
    status = restart.await_cri(work, network=operation.network_ready)
    missing = before.handlers & frozenset(operation.handlers) - status.handlers
    if missing:
        raise errors.HostError(
            f"containerd runs again, but without the handler {', '.join(sorted(missing))}",
            advice="run 'rcm-agent apply' with the Shim's manifest again",
        )


def _leftovers(work: Work, operation: records.Operation) -> None:
    """End what the failed binaries left running, then drop them.

    Not where somebody's pod came up on one that was swapped in for a moment: it lives on, since
    its process keeps the inode and its bundle names the stable path.
    """
    before = frozenset(s.artifact for s in work.current.shims)
    for shim in operation.after.shims:
        if shim.artifact in before:
            continue
        left = _processes(work, shim.path)
        if left and not (shim.handler in work.current.handlers and _known(work, left)):
            _end(work, left)
    work.keep_artifacts(before)


def _processes(work: Work, path: str) -> tuple[ports.Process, ...]:
    """Return every process that runs the binary at `path`."""
    found = work.host.machine.processes()
    return tuple(p for p in found if p.exe.removesuffix(" (deleted)") == path)


def _known(work: Work, processes: tuple[ports.Process, ...]) -> bool:
    """Tell whether one of these is the shim or the process of a container that containerd runs.

    Then none is ended: a container's further processes cannot be told from what is left over.
    """
    running = work.host.containerd.containers(timeout_s=gate.ASK_TIMEOUT_S)
    pids = {c.pid for c in running}
    names = {c.id for c in running}
    return any(p.pid in pids or not names.isdisjoint(p.argv) for p in processes)


def _end(work: Work, processes: tuple[ports.Process, ...]) -> None:
    for process in processes:
        work.tell.note("warning", f"ended process {process.pid} of {process.exe}")
    work.host.machine.end(processes)
