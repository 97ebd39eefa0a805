"""Carries an operation out, step by step, and puts the host back when a step fails.

Called by `commands`. The invariant: the journal names the step before it is taken, so whoever
comes after a kill or a power cut (`recover`, the dead man's switch, a plain boot) ends on the state
before or the state after. Decisions are `plan`'s; this module does.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import assert_never

from rcm_agent import check, errors, gate, look, plan, ports, proof, records, settings
from rcm_agent.containerd import model, propose
from rcm_agent.distro import site
from rcm_agent.host import config_files, files, memory, store
from rcm_agent.records import Step
from rcm_agent.report import Reporter

POLL_S = 0.05
"""Between two questions to a containerd that is starting; it needs 0.2 to 0.4 s."""
UNIMPLEMENTED_S = 3.0
"""A daemon that answers UNIMPLEMENTED for so long has no CRI and will not get one: its gRPC server
starts after its plugins (containerd cmd/containerd/server)."""


@dataclass(slots=True)
class Transaction:
    """Everything one operation needs."""

    host: ports.Host
    site: site.Site
    memory: memory.Memory
    chosen: settings.Settings
    tell: Reporter
    proofs: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    """Filled by PROVE: handler to `proven` or the reason why not."""

    def carry_out(self, operation: records.Operation) -> None:
        """Take every step; at a failure put everything back.

        Raises:
            RolledBack: a step failed and the host is on its former state.
            Blocked, BudgetSpent: the same, before containerd was restarted.
            Degraded: a step failed, and putting back failed too.
        """
        try:
            self._take(operation, operation.steps)
        except (errors.AgentError, KeyboardInterrupt) as failure:
            self._give_up(operation, failure)
            raise

    def recover(self) -> str:
        """Finish or undo what a killed run left; says which, empty when there was nothing.

        Raises:
            Degraded: the host could not be put back.
        """
        operation = self.memory.journal.operation
        if operation is None:
            return ""
        handlers = operation.after.handlers | self.memory.journal.current.handlers
        observed = look.observe(self.host, unit=self.site.unit, handlers=handlers)
        committed = all(self._is(f.path, f.final) for f in operation.files)
        if plan.recovery(operation, observed, committed=committed) == "undo":
            self.undo(operation)
            return f"undone: a run was killed at the step '{operation.step}'"
        first = operation.steps.index(operation.step)
        self._take(operation, operation.steps[first:])
        return f"finished: a run was killed at the step '{operation.step}'"

    def _take(self, operation: records.Operation, steps: tuple[Step, ...]) -> None:
        for step in steps:
            now = dataclasses.replace(operation, step=step, after=self._proven(operation.after))
            self.memory.write(records.Journal(self.memory.journal.current, now))
            with self.tell.step(step, self._detail(step, operation)):
                self._do(step, operation)
        self.memory.write(records.Journal(current=self._fingerprinted(operation.after)))
        self.memory.forget(keep=memory.referenced(self.memory.journal.current))

    def _do(self, step: Step, operation: records.Operation) -> None:
        match step:
            case Step.PREPARE:
                return
            case Step.LINK:
                self._link(operation)
            case Step.ATTACH:
                self._write(operation, "before", "attached")
            case Step.ARM:
                self._arm(operation)
            case Step.TRY:
                self._write(operation, "attached", "trial")
                self._judge_files(operation)
            case Step.RESTART:
                self._restart(operation)
            case Step.VERIFY:
                self._verify(operation)
            case Step.PROVE:
                self._prove(operation)
            case Step.DISARM:
                self._disarm()
            case Step.COMMIT:
                self._commit(operation)
            case Step.CLEAN:
                self._clean(operation)
            case _:
                assert_never(step)

    def _detail(self, step: Step, operation: records.Operation) -> str:
        match step:
            case Step.LINK:
                return ", ".join(c.path for c in operation.links if c.after)
            case Step.ATTACH | Step.TRY | Step.COMMIT:
                return ", ".join(f.path for f in reversed(operation.files))
            case Step.ARM:
                return f"{settings.SWITCH}.timer, {settings.SWITCH_DELAY_S:.0f} s"
            case Step.RESTART:
                return self.site.unit
            case Step.PROVE:
                return ", ".join(operation.prove)
            case _:
                return ""

    # --- forward ---------------------------------------------------------------------------

    def _link(self, operation: records.Operation) -> None:
        files.make_directory(self.host.kernel, settings.BIN)
        for change in operation.links:
            if change.after is not None:
                files.swap_link(self.host.kernel, change.path, change.after)

    def _write(self, operation: records.Operation, seen: str, new: str) -> None:
        """Bring every file from one state to the next, durable files before those in /run."""
        for change in reversed(operation.files):
            old, wanted = getattr(change, seen), getattr(change, new)
            if old != wanted:
                self._put(change.path, self.memory.content(old), self.memory.content(wanted))

    def _put(self, path: str, expected: bytes | None, data: bytes | None) -> None:
        kernel = self.host.kernel
        if data is not None:
            files.make_directory(kernel, path.rpartition("/")[0])
            files.replace(kernel, path, data, expected=expected)
            return
        if files.read(kernel, path) not in {expected, None}:
            raise errors.Conflict(
                f"{path} was changed by somebody else meanwhile",
                advice="run the command again; that change is kept",
            )
        files.remove(kernel, path)

    def _arm(self, operation: records.Operation) -> None:
        commands = switch_commands(operation, self.host.kernel, unit=self.site.unit)
        self.host.systemd.arm(settings.SWITCH, delay_s=settings.SWITCH_DELAY_S, commands=commands)

    def _judge_files(self, operation: records.Operation) -> None:
        """Ask containerd about the real files: the copies that were judged could differ."""
        self._judge(operation.after.runtimes, allowed=self.memory.journal.current.runtimes)

    def _judge(
        self, wanted: tuple[model.Runtime, ...], *, allowed: tuple[model.Runtime, ...]
    ) -> None:
        checker = check.Check(self.host, self.site)
        dump = checker.real()
        gone = {r.handler for r in allowed} - {r.handler for r in wanted}
        found = check.differences(dump, dump, current=(), wanted=wanted)
        lingering = tuple(f"{h} is still there" for h in sorted(gone & check.handlers(dump)))
        if found or lingering:
            raise errors.ConfigRefused(
                f"containerd reads the files otherwise than judged: {'; '.join((*found, *lingering))}",
                advice="another file of the configuration may define the same runtime",
            )

    def _restart(self, operation: records.Operation) -> None:
        gate.clear(self.host, allow=self.chosen.allow_disruption, tell=self.tell)
        self._spend()
        self.host.containerd.close()
        self.host.systemd.restart(self.site.unit, timeout_s=self.chosen.timeout_s)

    def _spend(self, *, refuse: bool = True) -> None:
        boot_id, now = self.host.machine.boot_id(), self.host.machine.uptime_s()
        spent = self.memory.restarts(boot_id=boot_id, uptime_s=now)
        if refuse and len(spent) >= settings.RESTART_BUDGET:
            wait_s = settings.RESTART_WINDOW_S - (now - spent[0])
            raise errors.BudgetSpent(
                f"containerd was restarted {len(spent)} times within "
                f"{settings.RESTART_WINDOW_S / 60:.0f} minutes",
                advice=f"find out why, then run again in {wait_s:.0f} s",
            )
        self.memory.count_restart(boot_id=boot_id, uptime_s=now)

    def _verify(self, operation: records.Operation) -> None:
        kept = frozenset(operation.handlers) - self.memory.journal.current.handlers
        wanted = kept | operation.after.handlers
        status = self._await_cri(network=operation.network_ready)
        if not wanted <= status.handlers:
            missing = ", ".join(sorted(wanted - status.handlers))
            raise errors.HostError(
                f"containerd runs, but has not loaded the handler {missing}",
                advice="look at the journal of the unit for the reason",
            )
        started = self.host.systemd.unit(self.site.unit).started_us
        if started == operation.started_us:
            raise errors.HostError(
                f"{self.site.unit} says that it restarted, but its process is the old one",
                advice="check with --unit that this unit owns the CRI socket",
            )

    def _await_cri(self, *, network: bool) -> ports.CriStatus:
        """Wait until CRI is ready again, as ready as it was."""
        machine = self.host.machine
        began = machine.uptime_s()
        while True:
            waited = machine.uptime_s() - began
            try:
                status = self.host.containerd.status(timeout_s=look.STATUS_TIMEOUT_S)
                if status.runtime_ready and (status.network_ready or not network):
                    return status
                reason = "CRI answers, but is not ready"
            except errors.CriError as error:
                reason = error.cause
                if error.code == "UNIMPLEMENTED" and waited > UNIMPLEMENTED_S:
                    raise
            if waited > self.chosen.timeout_s:
                raise errors.HostError(
                    f"containerd did not come back within {self.chosen.timeout_s:.0f} s: {reason}",
                    advice=f"look at the journal of {self.site.unit}",
                )
            self.host.containerd.close()
            machine.wait(POLL_S)

    def _prove(self, operation: records.Operation) -> None:
        for handler in operation.prove:
            self.proofs[handler] = proof.prove(
                self.host, handler=handler, timeout_s=self.chosen.prove_timeout_s
            )
            if self.proofs[handler] != proof.PROVEN:
                self.tell.note("warning", f"{handler}: {self.proofs[handler]}")

    def _disarm(self) -> None:
        if not self.host.systemd.disarm(settings.SWITCH):
            raise errors.HostError(
                f"{settings.SWITCH}.timer fired or is gone: the former state is being restored",
                advice="the host was too slow; run again with a smaller --timeout or less load",
            )

    def _commit(self, operation: records.Operation) -> None:
        for change in reversed(operation.files):
            if not self._is(change.path, change.final):
                found = files.read(self.host.kernel, change.path)
                if files.digest(found) not in {change.before, change.attached, change.trial}:
                    raise errors.Conflict(
                        f"{change.path} was changed by somebody else meanwhile",
                        advice="run the command again; that change is kept",
                    )
                self._put(change.path, found, self.memory.content(change.final))
        if operation.files:
            self._judge_files(operation)

    def _clean(self, operation: records.Operation) -> None:
        for change in operation.links:
            if change.after is None:
                files.remove(self.host.kernel, change.path)
        current = self.memory.journal.current.shims if operation.after.shims else ()
        self._keep({s.artifact for s in (*current, *operation.after.shims)})
        self._remove_empty(operation)

    def _remove_empty(self, operation: records.Operation) -> None:
        """Directories of ours that hold nothing any more."""
        for change in operation.files:
            directory = change.path.rpartition("/")[0]
            if directory.endswith("/rcm.d"):
                files.remove_directory(self.host.kernel, directory)
        files.remove_directory(self.host.kernel, settings.BIN)

    # --- back ------------------------------------------------------------------------------

    def _give_up(self, operation: records.Operation, failure: BaseException) -> None:
        try:
            self.undo(operation)
        except errors.AgentError as second:
            first = failure.cause if isinstance(failure, errors.AgentError) else "interrupted"
            raise errors.Degraded(
                f"{first}; putting the former state back failed too: {second.cause}",
                advice=second.advice or "run 'rcm-agent recover' once the cause is gone",
            ) from failure
        if isinstance(failure, (errors.Blocked, errors.BudgetSpent)):
            raise failure
        if isinstance(failure, errors.AgentError):
            raise errors.RolledBack(failure.cause, advice=failure.advice) from failure

    def undo(self, operation: records.Operation) -> None:
        """Bring the host back to the generation before, whatever step was reached.

        Raises:
            AgentError: something could not be put back; the journal keeps the operation.
        """
        with self.tell.step("undo", f"from the step '{self._reached()}'"):
            self.host.systemd.disarm(settings.SWITCH)
            self._put_back(operation)
            self._restart_back(operation)
            self._sweep(operation)
        self.memory.write(records.Journal(current=self.memory.journal.current))
        self.memory.forget(keep=memory.referenced(self.memory.journal.current))

    def _reached(self) -> str:
        operation = self.memory.journal.operation
        return operation.step if operation is not None else Step.PREPARE

    def _put_back(self, operation: records.Operation) -> None:
        foreign = False
        for change in operation.files:
            found = files.read(self.host.kernel, change.path)
            sha = files.digest(found)
            if sha == change.before:
                continue
            if sha in {change.attached, change.trial, change.final}:
                self._put(change.path, found, self.memory.content(change.before))
            else:
                foreign = True
        if foreign:
            self._take_ours_out(operation)
        self._link_back(operation)
        self._remove_empty(operation)

    def _take_ours_out(self, operation: records.Operation) -> None:
        """Somebody edited a file meanwhile: undo our part, keep theirs."""
        before = self.memory.journal.current
        tree = config_files.read_tree(self.host.kernel, self.site.config)
        checker = check.Check(self.host, self.site)
        status = look.status(self.host)
        version = status.runtime_version if status else operation.after.containerd
        edits = propose.propose(
            tree=tree,
            release=site.release(version),
            runtimes=before.runtimes,
            owned=self.owned(operation.after.owned),
            dump=checker.of(tree, {}),
        )
        for path, data in edits[0].final.items() if edits else ():
            self._put(path, files.read(self.host.kernel, path), data)

    def owned(self, found: tuple[records.OwnedFile, ...]) -> tuple[model.Owned, ...]:
        """Return the records of our files with their contents."""
        return tuple(
            model.Owned(
                path=o.path,
                original=self.memory.content(o.original),
                ours=self.memory.content(o.ours) or b"",
            )
            for o in found
        )

    def _link_back(self, operation: records.Operation) -> None:
        for change in operation.links:
            if change.before is None:
                files.remove(self.host.kernel, change.path)
            else:
                files.swap_link(self.host.kernel, change.path, change.before)

    def _restart_back(self, operation: records.Operation) -> None:
        before = self.memory.journal.current
        handlers = before.handlers | operation.after.handlers
        observed = look.observe(self.host, unit=self.site.unit, handlers=handlers)
        if not plan.undo_needs_restart(operation, before, observed):
            return
        self._spend(refuse=False)
        self.host.systemd.reset_failed(self.site.unit)
        self.host.containerd.close()
        self.host.systemd.restart(self.site.unit, timeout_s=self.chosen.timeout_s)
        status = self._await_cri(network=operation.network_ready)
        missing = before.handlers - status.handlers
        if missing:
            raise errors.HostError(
                f"containerd runs again, but without the handler {', '.join(sorted(missing))}",
                advice="run 'rcm-agent apply' with the Shim's manifest again",
            )

    def _sweep(self, operation: records.Operation) -> None:
        """End what the failed binaries left behind, then drop them."""
        before = {s.artifact for s in self.memory.journal.current.shims}
        for shim in operation.after.shims:
            if shim.artifact not in before:
                self._end_processes(shim.path)
        self._keep(before)

    def _end_processes(self, path: str) -> None:
        for process in self.host.machine.processes():
            if process.exe.removesuffix(" (deleted)") == path:
                self.tell.note("warning", f"ended process {process.pid} of {path}")
                self.host.machine.kill(process.pid)

    # --- shared ----------------------------------------------------------------------------

    def _keep(self, artifacts: set[str]) -> None:
        for digest in store.list_digests(self.host.kernel):
            if digest not in artifacts:
                store.remove(self.host.kernel, digest)

    def _is(self, path: str, sha: str) -> bool:
        return files.digest(files.read(self.host.kernel, path)) == sha

    def _proven(self, after: records.Generation) -> records.Generation:
        shims = tuple(
            dataclasses.replace(s, proven=self.proofs.get(s.handler, s.proven)) for s in after.shims
        )
        return dataclasses.replace(after, shims=shims)

    def _fingerprinted(self, after: records.Generation) -> records.Generation:
        """Remember the configuration as it was proven; nothing of ours, nothing to remember."""
        if not after.shims:
            return records.Generation()
        tree = config_files.read_tree(self.host.kernel, self.site.config)
        return dataclasses.replace(self._proven(after), tree=plan.fingerprint(tree))


def switch_commands(
    operation: records.Operation, kernel: ports.Kernel, *, unit: str
) -> tuple[tuple[str, ...], ...]:
    """Return what the host does by itself if nobody disarms the switch.

    Files go back to their state before the trial, then containerd restarts. Programs of coreutils
    and systemctl only; each command stands alone, and one that fails does not stop the next.
    """
    commands: list[tuple[str, ...]] = []
    for change in operation.files:
        if change.attached == change.trial:
            continue
        if not change.attached:
            commands.append(("/bin/rm", "-f", change.path))
            continue
        target = kernel.realpath(change.path)
        temporary = target + files.TEMPORARY
        found = kernel.lstat(target)
        mode = found.mode if found is not None else 0o644
        saved = f"{settings.BACKUP}/{change.attached}"
        commands.append(("/usr/bin/install", "-m", f"{mode:04o}", saved, temporary))
        commands.append(("/bin/mv", "-f", "-T", temporary, target))
    commands.append(("/bin/systemctl", "reset-failed", unit))
    commands.append(("/bin/systemctl", "restart", unit))
    return tuple(commands)
