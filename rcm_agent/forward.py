"""The steps of an operation, forward. Each may be repeated, and may be cut at any point.

Called by `transaction`, which writes the step's name into the journal first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from rcm_agent import check, errors, gate, proof, records, restart, settings, switch
from rcm_agent.host import files
from rcm_agent.records import Step
from rcm_agent.work import Work

Proofs = Mapping[str, str]
"""Handler to `proof.PROVEN` or the reason why not."""


def take(work: Work, step: Step, operation: records.Operation) -> Proofs:
    """Take one step; returns what it proved.

    Raises:
        AgentError: it failed; `back.undo` puts the host back.
    """
    if step is Step.PROVE:
        return _prove(work, operation)
    _STEPS[step](work, operation)
    return {}


def detail(work: Work, step: Step, operation: records.Operation) -> str:
    """Say for a person what the step touches."""
    if step is Step.LINK:
        return ", ".join(c.path for c in operation.links if c.after)
    if step in {Step.ATTACH, Step.TRY, Step.COMMIT}:
        return ", ".join(f.path for f in reversed(operation.files))
    if step is Step.ARM:
        without = "" if Step.RESTART in operation.steps else ", would not restart containerd"
        return f"{settings.SWITCH}.timer, {settings.SWITCH_DELAY_S:.0f} s{without}"
    if step is Step.RESTART:
        return work.site.unit
    return ", ".join(operation.prove) if step is Step.PROVE else ""


def _prepare(work: Work, operation: records.Operation) -> None:
    """The journal holds the whole operation; the host is untouched."""
    work.settle(operation)


def _attach(work: Work, operation: records.Operation) -> None:
    _write(work, ((f.path, f.before, f.attached) for f in reversed(operation.files)))


def _arm(work: Work, operation: records.Operation) -> None:
    programs = switch.commands(operation, work.host.kernel, unit=work.site.unit)
    work.host.systemd.arm(settings.SWITCH, delay_s=settings.SWITCH_DELAY_S, commands=programs)


def _link(work: Work, operation: records.Operation) -> None:
    files.make_directory(work.host.kernel, settings.BIN)
    for change in operation.links:
        if change.after is not None:
            files.swap_link(work.host.kernel, change.path, change.after)


def _try(work: Work, operation: records.Operation) -> None:
    _write(work, ((f.path, f.attached, f.trial) for f in reversed(operation.files)))
    _judge(work, operation)


def _restart(work: Work, _operation: records.Operation) -> None:
    gate.clear(work.host, allow=work.chosen.allow_disruption, tell=work.tell)
    restart.restart(work, refuse=True)


def _verify(work: Work, operation: records.Operation) -> None:
    foreign = frozenset(operation.handlers) - work.current.handlers
    wanted = foreign | operation.after.handlers
    status = restart.await_cri(work, network=operation.network_ready)
    if not wanted <= status.handlers:
        raise errors.HostError(
            "containerd runs, but has not loaded the handler "
            + ", ".join(sorted(wanted - status.handlers)),
            advice=f"look at the journal of {work.site.unit} for the reason",
        )
    if work.host.systemd.unit(work.site.unit).started_us == operation.started_us:
        raise errors.HostError(
            f"systemd says that {work.site.unit} restarted, but its process is the old one",
            advice="check with --unit that this unit owns the CRI socket",
        )


def _prove(work: Work, operation: records.Operation) -> Proofs:
    timeout_s = work.chosen.prove_timeout_s
    image = operation.sandbox_image
    proofs = {
        handler: proof.prove(work.host, handler=handler, image=image, timeout_s=timeout_s)
        for handler in operation.prove
    }
    for handler, outcome in proofs.items():
        if outcome != proof.PROVEN:
            work.tell.note("warning", f"{handler}: {outcome}")
    return proofs


def _disarm(work: Work, _operation: records.Operation) -> None:
    if not work.host.systemd.disarm(settings.SWITCH):
        raise errors.HostError(
            f"{settings.SWITCH}.timer fired or is gone: the former state is being restored",
            advice="the host was too slow; run again when it has less load",
        )


def _commit(work: Work, operation: records.Operation) -> None:
    for change in reversed(operation.files):
        found = files.read(work.host.kernel, change.path)
        sha = files.digest(found)
        if sha == change.final:
            continue
        if sha not in {change.before, change.attached, change.trial}:
            raise errors.Conflict(
                f"{change.path} was changed by somebody else meanwhile",
                advice="run the command again; that change is kept",
            )
        work.put(change.path, expected=found, data=work.memory.content(change.final))
    if operation.files:
        _judge(work, operation)


def _clean(work: Work, operation: records.Operation) -> None:
    for change in operation.links:
        if change.after is None:
            files.remove(work.host.kernel, change.path)
    names = {s.name for s in operation.after.shims}
    former = (s for s in work.current.shims if s.name in names)
    kept = (*former, *operation.after.shims)
    work.keep_artifacts(frozenset(s.artifact for s in kept))
    work.remove_empty(operation)


_STEPS: Mapping[Step, Callable[[Work, records.Operation], None]] = {
    Step.PREPARE: _prepare,
    Step.ATTACH: _attach,
    Step.ARM: _arm,
    Step.LINK: _link,
    Step.TRY: _try,
    Step.RESTART: _restart,
    Step.VERIFY: _verify,
    Step.DISARM: _disarm,
    Step.COMMIT: _commit,
    Step.CLEAN: _clean,
}


def _write(work: Work, changes: Iterable[tuple[str, str, str]]) -> None:
    """Bring files from one content to the next, durable files before those in /run."""
    for path, old, new in changes:
        if old != new:
            work.put(path, expected=work.memory.content(old), data=work.memory.content(new))


def _judge(work: Work, operation: records.Operation) -> None:
    """Ask containerd about the real files: only copies of them were judged so far."""
    found = check.Check(work.host, work.site).real()
    wanted = operation.after.runtimes
    gone = work.current.handlers - operation.after.handlers
    problems = check.problems(found, wanted=wanted, gone=gone)
    if problems:
        raise errors.ConfigRefused(
            f"containerd reads the files otherwise than judged: {'; '.join(problems)}",
            advice="another file of the configuration may define the same runtime",
        )
