"""`apply` and `plan`: bring this host to what the Shims ask for, or say what that would take.

Called by `cli`. The order: recover, look, fetch, probe, choose the edit, pass the gate, and only
then touch anything.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rcm_agent import (
    check,
    configure,
    desired,
    errors,
    fetch,
    gate,
    plan,
    records,
    session,
    transaction,
)
from rcm_agent.containerd import dialect, diff, refusals
from rcm_agent.records import Installed
from rcm_agent.work import Work
from rcm_api import shim as shims

NOTHING = "nothing to do: this host has what the Shims ask for"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a decision needs to know of the host."""

    observed: plan.Observed
    before: configure.Before


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a run would do; empty `operation`: nothing."""

    operation: records.Operation | None
    found: configure.Configuration | None
    blockers: str = ""
    """Containers that a restart would end."""
    after: records.Generation | None = None
    """What the host has then; also where nothing needs to be done for it."""


def apply(work: Work, wanted_shims: Sequence[shims.Shim]) -> tuple[Installed, ...]:
    """Make the Shims so, and return what this host has then.

    Raises:
        AgentError: of every kind; what it says about the host's state is in `errors`.
    """
    session.recover(work)
    wanted = _select(work, wanted_shims)
    if _settled(work, wanted):
        work.tell.note("info", NOTHING, changed=False)
        return work.current.shims
    with contextlib.ExitStack() as begun:
        installing = [begun.enter_context(fetch.installing(work, one)) for one in wanted]
        proposal = _install(work, installing, look(work, wanted))
    carry_out(work, proposal)
    return work.current.shims


def _install(work: Work, installing: Sequence[Callable[[], Installed]], seen: Seen) -> Proposal:
    """Have the binaries in the store and choose what to do; the store is as it was if not."""
    before_fetch = fetch.stored(work)
    try:
        proposal = propose(work, tuple(finish() for finish in installing), seen)
        _pass_gate(work, proposal)
    except (errors.AgentError, KeyboardInterrupt) as failure:
        fetch.drop_new(work, before_fetch, failure=failure)
        raise
    return proposal


def preview(work: Work, wanted_shims: Sequence[shims.Shim]) -> Proposal:
    """Return what `apply` would do, without fetching or touching anything."""
    wanted = _select(work, wanted_shims)
    if _settled(work, wanted):
        return Proposal(operation=None, found=None)
    return propose(work, tuple(fetch.expect(work, one) for one in wanted), look(work, wanted))


def propose(
    work: Work, found: tuple[Installed, ...], seen: Seen, *, gone: frozenset[str] = frozenset()
) -> Proposal:
    """Choose the edit and the steps that bring the host to `found` beside what it has.

    Shims named in `gone` are taken away in the same go.
    """
    names = {shim.name for shim in found} | gone
    kept = tuple(s for s in work.current.shims if s.name not in names)
    before = configure.look_again(work, seen.before)  # a download may have taken minutes
    followed = tuple(_with_options(work, shim, before) for shim in found)
    return _proposal(work, (*kept, *followed), before=before, observed=seen.observed)


def without(work: Work, names: frozenset[str]) -> Proposal:
    """Choose the edit and the steps that take Shims away."""
    return propose(work, (), look(work, ()), gone=names)


def _proposal(
    work: Work,
    shims_after: tuple[Installed, ...],
    *,
    before: configure.Before,
    observed: plan.Observed,
) -> Proposal:
    found = configure.choose(work, before, configure.with_shims(work.current, shims_after))
    after = configure.generation(
        shims_after, before=before, found=found, former=work.current.strategy
    )
    changes = plan.links(work.current, after, observed.links)
    operation = plan.operation(
        before=work.current,
        after=after,
        observed=observed,
        files=found.files,
        changes=changes,
        prove=_to_prove(work, after, changes, observed),
    )
    if operation is None:
        return Proposal(operation=None, found=found, after=after)
    restart = records.Step.RESTART in operation.steps
    image = dialect.sandbox_image(before.dump)
    return Proposal(
        operation=dataclasses.replace(operation, sandbox_image=image),
        found=found,
        blockers=gate.names(gate.lost(work.host)) if restart else "",
        after=after,
    )


def carry_out(work: Work, proposal: Proposal) -> None:
    """Do it; what the configuration means already is only remembered."""
    found, after = proposal.found, proposal.after
    if proposal.operation is None:
        work.tell.note("info", NOTHING, changed=False)
        if found is not None and after is not None:
            transaction.remember(work, after, contents=found.contents)
        return
    assert found is not None  # noqa: S101 - an operation comes with its files
    for data in found.contents:
        work.memory.save(data)
    transaction.carry_out(work, proposal.operation)


def explain(proposal: Proposal) -> str:
    """Return the proposal for a person: strategy, evidence, steps, diffs."""
    operation, found = proposal.operation, proposal.found
    if operation is None or found is None:
        return NOTHING + "\n"
    restart = records.Step.RESTART in operation.steps
    lines = [
        f"strategy: {found.edit.strategy}",
        *(f"  because {text}" for text in found.edit.evidence),
        f"steps: {' → '.join(operation.steps)}",
        f"containerd restarts: {'once' if restart else 'no'}",
    ]
    if proposal.blockers:
        lines.append(f"blocked: the restart would end {proposal.blockers}")
    lines += [f"link: {c.path} → {c.after or '(removed)'}" for c in operation.links]
    lines += [
        diff.unified(path, found.today.get(path), data).rstrip("\n")
        for path, data in sorted(found.edit.final.items())
    ]
    return "\n".join(lines) + "\n"


def _select(work: Work, found: Sequence[shims.Shim]) -> tuple[desired.Wanted, ...]:
    for shim in found:
        for text in shims.warnings(shim):
            work.tell.note("warning", f"Shim {shim.name}: {text}")
    wanted = desired.select(found, arch=work.host.machine.architecture())
    desired.refuse_conflicts(work.current.shims, wanted)
    return wanted


def look(work: Work, wanted: Sequence[desired.Wanted]) -> Seen:
    """Ask CRI, and containerd's program meanwhile: loading grpc takes as long as a dump.

    Raises:
        HostError: CRI does not answer.
        ConfigRefused: it is turned off.
    """
    with check.Check(work.host, work.site).asking() as dumped:
        observed = work.observe(frozenset(w.handler for w in wanted))
        dump = dumped()
    if observed.status is None:
        # Its configuration may tell more than its silence: Docker's packages turn CRI off.
        refusals.cri_is_off(work.site.config, dump)
        raise errors.HostError(
            f"CRI does not answer on {work.site.socket}, so nothing was touched",
            advice=f"mend containerd first: journalctl -u {work.site.unit}",
        )
    return Seen(observed, configure.look(work, observed.status.runtime_version, dump))


def _settled(work: Work, wanted: tuple[desired.Wanted, ...]) -> bool:
    """Tell whether this host has what the Shims ask for; the journal alone may know better."""
    have = {s.name: s.wanted for s in work.current.shims}
    if not have or not {w.name: w.digest for w in wanted}.items() <= have.items():
        return False
    tree, observed = work.tree(work.current.containerd), work.observe()
    return plan.settled(current=work.current, tree=tree, observed=observed, wanted=have) and all(
        fetch.intact(work, shim) for shim in work.current.shims
    )


def _with_options(work: Work, shim: Installed, before: configure.Before) -> Installed:
    options, warnings = desired.effective_options(
        shim.options, systemd_cgroup=before.systemd_cgroup, release=before.release
    )
    for text in warnings:
        work.tell.note("warning", f"Shim {shim.name}: {text}")
    return _with_proof(work, fetch.with_options(shim, options))


def _with_proof(work: Work, shim: Installed) -> Installed:
    """What is asked for under another digest, and is the same, was proven already."""
    former = next((s for s in work.current.shims if s.handler == shim.handler), None)
    if former is None or shim.proven:
        return shim
    same = (former.binary, former.runtime) == (shim.binary, shim.runtime)
    return dataclasses.replace(shim, proven=former.proven) if same else shim


def _to_prove(
    work: Work,
    after: records.Generation,
    changes: tuple[records.LinkChange, ...],
    observed: plan.Observed,
) -> tuple[str, ...]:
    """Whatever is new, changed or repaired; nothing when the person said not to."""
    if not work.chosen.prove:
        return ()
    former = {s.handler: s for s in work.current.shims}
    loaded = observed.status.handlers if observed.status else frozenset[str]()
    moved = {c.path for c in changes}
    return tuple(
        shim.handler
        for shim in after.shims
        if former.get(shim.handler) is None
        or former[shim.handler].runtime != shim.runtime
        or former[shim.handler].binary != shim.binary
        or shim.handler not in loaded
        or shim.runtime.runtime_type in moved
    )


def _pass_gate(work: Work, proposal: Proposal) -> None:
    if proposal.blockers and not work.chosen.allow_disruption:
        raise errors.Blocked(
            f"a restart of containerd would end running containers: {proposal.blockers}",
            advice="stop them first, or say --disruption allow",
        )
