"""Asks the host's own containerd what a configuration means, before it counts.

Called by `commands` to choose an edit and by `transaction` once the files are in place. The judge
is always `containerd config dump` of the program that runs on this host.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rcm_agent import errors, ports, settings
from rcm_agent.containerd import dialect, flatten, judge, model
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
        with self.asking() as dumped:
            return dumped()

    @contextlib.contextmanager
    def asking(self) -> Generator[Callable[[], Dump]]:
        """Ask for `real` meanwhile; what you get waits for it."""
        if self.host.kernel.lstat(self.site.config) is None:
            missing = model.Tree(root_path=self.site.config, root=None, imports=())
            yield lambda: self.of(missing, {})[0]
            return
        with self._dumping(self.site.config) as dumped:
            yield lambda: dumped()[0]

    def of(self, tree: model.Tree, *states: ports.Files) -> tuple[Dump, ...]:
        """Return the effective configurations that `tree` with each of these changes would have.

        They are asked for side by side: a dump takes 15 to 50 ms, and most nodes have cores idle.
        States whose copies are the same bytes are asked for once.
        """
        plain = [flatten.flatten(tree, changes, settings.SCRATCH) for changes in states]
        asked = [plain.index(one) for one in plain]
        flat = {
            number: flatten.flatten(tree, states[number], f"{settings.SCRATCH}/{number}")
            for number in dict.fromkeys(asked)
        }
        kernel = self.host.kernel
        try:
            for root, copies in flat.values():
                files.make_directory(kernel, settings.SCRATCH, mode=0o700)
                files.make_directory(kernel, root.rpartition("/")[0], mode=0o700)
                for path, data in copies.items():
                    old = files.read(kernel, path)
                    files.replace(kernel, path, data, expected=old, mode=0o600)
            with self._dumping(*(root for root, _ in flat.values())) as dumped:
                dumps = dict(zip(flat, dumped(), strict=True))
            return tuple(dumps[number] for number in asked)
        finally:
            files.remove_tree(kernel, settings.SCRATCH)

    @contextlib.contextmanager
    def _dumping(self, *configs: str) -> Generator[Callable[[], tuple[Dump, ...]]]:
        programs = [(self.site.program, "--config", path, "config", "dump") for path in configs]
        with self.host.systemd.running(programs, timeout_s=settings.DUMP_TIMEOUT_S) as ended:
            yield lambda: tuple(map(_dump, programs, ended()))


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
    here, gone = _in_effect(before, current)
    return (
        *_differences(before, attached, here, ours=gone | _handlers(here)),
        *_differences(before, trial, wanted, ours=_handlers(current)),
        *_differences(trial, final, wanted, ours=_handlers(wanted)),
    )


def _in_effect(before: Dump, current: Runtimes) -> tuple[Runtimes, frozenset[str]]:
    """Return those of ours that today's files really have, and the handlers that they lack.

    Somebody may have put back the files of before. What was edited since is in neither: it must
    stay as it is, like anything that is not ours.
    """
    intact = tuple(r for r in current if not judge.differences(before, before, runtimes=(r,)))
    effective = dialect.effective(before).get("runtimes", {})
    return intact, frozenset(r.handler for r in current if r.handler not in effective)


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
