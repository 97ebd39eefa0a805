"""Decides: which steps bring a host from one generation to another, and what a killed run needs.

Pure. `commands` gathers the arguments, `transaction` carries the result out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rcm_agent import ports, records, settings
from rcm_agent.containerd import model
from rcm_agent.records import Step


@dataclass(frozen=True, slots=True)
class Observed:
    """What the host is, as far as a decision needs it."""

    boot_id: str
    unit: ports.Unit
    status: ports.CriStatus | None
    """None: CRI does not answer."""
    links: Mapping[str, str | None]
    """Text of every stable path, None where there is no link."""


def fingerprint(tree: model.Tree) -> str:
    """Return 64 hex digits that change when any file of the configuration changes."""
    total = hashlib.sha256()
    for source in (model.Source(tree.root_path, tree.root or b""), *tree.imports):
        total.update(f"{source.path}\0{len(source.data)}\0".encode())
        total.update(source.data)
    return total.hexdigest()


def settled(
    *, current: records.Generation, tree: model.Tree, observed: Observed, wanted: Mapping[str, str]
) -> bool:
    """Tell whether nothing is to be done for the configuration and the links.

    `wanted` maps Shim names to the digest of what they ask for. The store is checked elsewhere.
    """
    have = {s.name: s.wanted for s in current.shims}
    return (
        observed.status is not None
        and have == dict(wanted)
        and current.tree == fingerprint(tree)
        and current.containerd == observed.status.runtime_version
        and current.handlers <= observed.status.handlers
        and all(observed.links.get(settings.link(s.handler)) == s.path for s in current.shims)
    )


def links(
    before: records.Generation, after: records.Generation, found: Mapping[str, str | None]
) -> tuple[records.LinkChange, ...]:
    """Return the stable paths that change."""
    wanted: dict[str, str | None] = {settings.link(h): None for h in before.handlers}
    wanted |= {settings.link(s.handler): s.path for s in after.shims}
    return tuple(
        records.LinkChange(path=path, before=found.get(path), after=text)
        for path, text in sorted(wanted.items())
        if found.get(path) != text
    )


def file_changes(
    edit: model.Edit, today: Mapping[str, bytes | None]
) -> tuple[records.FileChange, ...]:
    """Return the files of an edit in their four states, paths in /run first.

    First in /run means last to appear and first to go: whoever reads the durable files alone sees
    the old configuration.
    """
    paths = sorted({*edit.attached, *edit.trial, *edit.final})
    return tuple(
        records.FileChange(
            path=path,
            before=_sha(today.get(path)),
            attached=_sha(edit.attached.get(path, today.get(path))),
            trial=_sha(edit.trial.get(path, today.get(path))),
            final=_sha(edit.final.get(path, today.get(path))),
        )
        for path in sorted(paths, key=lambda p: (not p.startswith(settings.RUN), p))
    )


def needs_restart(
    before: records.Generation, after: records.Generation, status: ports.CriStatus | None
) -> bool:
    """Tell whether containerd must be restarted to be in the `after` generation."""
    if status is None or before.runtimes != after.runtimes:
        return status is None or _effective(before, after, status)
    return not after.handlers <= status.handlers


def _effective(
    before: records.Generation, after: records.Generation, status: ports.CriStatus
) -> bool:
    """Runtimes differ on paper; what containerd has loaded may already be right."""
    gone = before.handlers - after.handlers
    same = {r.handler: r for r in before.runtimes}
    changed = any(same.get(r.handler) != r for r in after.runtimes)
    return changed or bool(gone & status.handlers) or not after.handlers <= status.handlers


def operation(
    *,
    before: records.Generation,
    after: records.Generation,
    observed: Observed,
    files: tuple[records.FileChange, ...],
    changes: tuple[records.LinkChange, ...],
    prove: tuple[str, ...],
) -> records.Operation | None:
    """Return what to do, None when the host is in the `after` generation already."""
    restart = needs_restart(before, after, observed.status)
    steps = _steps(files=files, changes=changes, restart=restart, prove=prove)
    if steps == (Step.PREPARE,):
        return None
    status = observed.status
    return records.Operation(
        step=Step.PREPARE,
        steps=steps,
        boot_id=observed.boot_id,
        started_us=observed.unit.started_us,
        handlers=tuple(sorted(status.handlers)) if status else (),
        network_ready=status.network_ready if status else False,
        files=files,
        links=changes,
        prove=prove,
        after=after,
    )


def _steps(
    *,
    files: tuple[records.FileChange, ...],
    changes: tuple[records.LinkChange, ...],
    restart: bool,
    prove: tuple[str, ...],
) -> tuple[Step, ...]:
    # What is not proven cannot be waited for: without a proof a swapped link counts at once.
    guarded = restart or (bool(prove) and any(c.swaps for c in changes))
    taken = {
        Step.PREPARE: True,
        Step.ATTACH: restart and any(f.attached != f.before for f in files),
        Step.ARM: guarded,
        Step.LINK: any(c.after is not None for c in changes),
        Step.TRY: restart,
        Step.RESTART: restart,
        Step.VERIFY: restart,
        Step.PROVE: bool(prove),
        Step.DISARM: guarded,
        Step.COMMIT: bool(files),
    }
    steps = tuple(step for step in records.ORDER if taken.get(step))
    changed = len(steps) > 1 or any(c.after is None for c in changes)
    return (*steps, Step.CLEAN) if changed else steps


def recovery(
    operation: records.Operation, observed: Observed, *, committed: bool
) -> Literal["finish", "undo"]:
    """Say what a killed run needs; `committed`: every file is in its final state.

    Before DISARM the new state is unproven: undo. From there on it is proven: finish, unless the
    links are not at it or containerd does not have it loaded (the switch fired, or the power went
    and took /run).
    """
    if records.ORDER.index(operation.step) < records.ORDER.index(Step.DISARM):
        return "undo"
    if operation.step is Step.CLEAN:
        return "finish"
    if any(c.after not in {None, observed.links.get(c.path)} for c in operation.links):
        return "undo"
    if observed.status is None:
        return "finish" if committed else "undo"
    gone = frozenset(operation.handlers) - operation.after.handlers
    removed = {c.path for c in operation.links if c.after is None}
    loaded = observed.status.handlers
    missing = operation.after.handlers - loaded
    lingering = {h for h in gone & loaded if settings.link(h) in removed}
    return "undo" if missing or lingering else "finish"


def undo_needs_restart(
    operation: records.Operation, before: records.Generation, observed: Observed
) -> bool:
    """Tell whether containerd, with the old files back, still runs something else.

    Where the operation restarts nothing, nothing of it was ever loaded.
    """
    if Step.RESTART not in operation.steps:
        return False
    if observed.status is None or observed.unit.active_state != "active":
        return True
    ours = operation.after.handlers | before.handlers
    if frozenset(operation.handlers) & ours != observed.status.handlers & ours:
        return True
    kept = {r.handler: r for r in before.runtimes}
    changed = any(r.handler in kept and kept[r.handler] != r for r in operation.after.runtimes)
    restarted = (
        observed.boot_id != operation.boot_id or observed.unit.started_us != operation.started_us
    )
    return changed and restarted


def _sha(data: bytes | None) -> str:
    return "" if data is None else hashlib.sha256(data).hexdigest()
