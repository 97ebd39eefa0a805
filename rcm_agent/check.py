"""Asks the host's own containerd what a configuration means, before it counts.

Called by `commands` to choose an edit and by `transaction` once the files are in place. The judge
is always `containerd config dump` of the program that runs on this host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rcm_agent import errors, ports, settings
from rcm_agent.containerd import flatten, judge, model
from rcm_agent.distro import site
from rcm_agent.host import files

Dump = Mapping[str, Any]
Runtimes = tuple[model.Runtime, ...]
SHOWN_DIFFERENCES = 3
"""So many differences are told; the first ones say enough."""


@dataclass(frozen=True, slots=True)
class Check:
    """One containerd program and the configuration it reads."""

    host: ports.Host
    site: site.Site

    def real(self) -> Dump:
        """Return the effective configuration of the files in place."""
        if self.host.kernel.lstat(self.site.config) is None:
            return self.of(model.Tree(root_path=self.site.config, root=None, imports=()), {})[0]
        return self._dumps(self.site.config)[0]

    def of(self, tree: model.Tree, *states: ports.Files) -> tuple[Dump, ...]:
        """Return the effective configurations that `tree` with each of these changes would have.

        They are asked for side by side: a dump takes 15 to 50 ms, and most nodes have cores idle.
        """
        flat = [
            flatten.flatten(tree, changes, f"{settings.SCRATCH}/{number}")
            for number, changes in enumerate(states)
        ]
        kernel = self.host.kernel
        try:
            for root, copies in flat:
                files.make_directory(kernel, settings.SCRATCH, mode=0o700)
                files.make_directory(kernel, root.rpartition("/")[0], mode=0o700)
                for path, data in copies.items():
                    old = files.read(kernel, path)
                    files.replace(kernel, path, data, expected=old, mode=0o600)
            return self._dumps(*(root for root, _ in flat))
        finally:
            files.remove_tree(kernel, settings.SCRATCH)

    def _dumps(self, *configs: str) -> tuple[Dump, ...]:
        programs = [(self.site.program, "--config", path, "config", "dump") for path in configs]
        ended = self.host.systemd.run_all(programs, timeout_s=settings.DUMP_TIMEOUT_S)
        return tuple(map(_dump, programs, ended))


def choose(
    check: Check,
    *,
    tree: model.Tree,
    edits: Sequence[model.Edit],
    before: Dump,
    current: Runtimes,
    wanted: Runtimes,
) -> model.Edit:
    """Return the first edit that changes our runtimes and nothing else.

    Raises:
        ConfigRefused: no edit passes; with the first differences of the last one.
    """
    problems: tuple[str, ...] = ("no way to edit it is known",)
    for edit in edits:
        try:
            problems = _problems(check, tree, edit, before=before, states=(current, wanted))
        except errors.ConfigRefused as refusal:
            problems = (refusal.cause,)
        if not problems:
            return edit
    shown = "; ".join(problems[:SHOWN_DIFFERENCES])
    raise errors.ConfigRefused(
        f"containerd's configuration cannot be changed without other effects: {errors.clip(shown)}",
        advice="add the runtime by hand, or simplify the configuration file, then run again",
    )


def problems(dump: Dump, *, wanted: Runtimes, gone: frozenset[str]) -> tuple[str, ...]:
    """Say what is missing of `wanted`, or still there of `gone`, in an effective configuration."""
    ours = gone | _handlers(wanted)
    return judge.differences(dump, dump, runtimes=wanted, removed=ours)


def _problems(
    check: Check,
    tree: model.Tree,
    edit: model.Edit,
    *,
    before: Dump,
    states: tuple[Runtimes, Runtimes],
) -> tuple[str, ...]:
    """Judge the three states of an edit: no-op, ours and nothing else, the same as tried."""
    current, wanted = states
    asked = {"trial": edit.trial}
    if edit.final != edit.trial:
        asked["final"] = edit.final
    if edit.attached:
        asked["attached"] = edit.attached
    dumps = dict(zip(asked, check.of(tree, *asked.values()), strict=True))
    trial = dumps["trial"]
    attached, final = dumps.get("attached", before), dumps.get("final", trial)
    return (
        *_differences(before, attached, current, ours=_handlers(current)),
        *_differences(before, trial, wanted, ours=_handlers(current)),
        *_differences(trial, final, wanted, ours=_handlers(wanted)),
    )


def _differences(
    before: Dump, after: Dump, runtimes: Runtimes, *, ours: frozenset[str]
) -> tuple[str, ...]:
    return judge.differences(before, after, runtimes=runtimes, removed=ours)


def _dump(argv: Sequence[str], done: ports.Completed) -> Dump:
    if done.exit_code != 0:
        words = done.stderr.decode(errors="replace").strip() or f"exit code {done.exit_code}"
        raise errors.ConfigRefused(
            f"containerd itself refuses the configuration: {errors.clip(words)}",
            advice=f"run '{' '.join(argv)}' on the host and mend what it names",
        )
    return judge.parse(done.stdout)


def _handlers(runtimes: Runtimes) -> frozenset[str]:
    return frozenset(r.handler for r in runtimes)
