"""The agent's doors to the simulated service manager, containerd and machine (`rcm_agent.ports`).

Made by `host.FakeHost` for one agent; every call passes that agent's gate. `kernel.FakeKernel` is
the fourth door.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass

from rcm_agent import errors, ports
from tests.fakes import clock as clocks
from tests.fakes import commands, daemon, faults, shims, units

CALL_S = 0.002
"""Every call costs some time, so that a loop without a wait ends."""
SANDBOX_S = 0.1
SWITCH_FIRING_S = 150.0
HZ = 100
"""Clock ticks in a second."""
_HOST = "pid:[4026531836]"
PROOFS = "rcm-proof"
"""Kubernetes namespace of the agent's own sandboxes."""


@dataclass(slots=True)
class FakeSystemd:
    service: units.Service
    timers: units.Timers
    programs: commands.Programs
    clock: clocks.Clock
    gate: faults.Gate
    state: SystemdState

    def _enter(self, name: str, what: str, *, effect: bool = True) -> None:
        self.gate.before(f"systemd.{name}", what, effect=effect)
        self.clock.advance(CALL_S)
        if self.state.gone:
            raise errors.UnitError(f"cannot {name} {what}: systemd's socket does not answer")

    def unit(self, name: str) -> ports.Unit:
        self._enter("unit", name, effect=False)
        if name != self.service.name:
            return ports.Unit(name, "not-found", "inactive", 0, 0, ())
        service = self.service
        state = "activating" if service.state == "auto-restart" else service.state
        return ports.Unit(name, "loaded", state, service.pid, service.started_us, service.argv)

    def active(self, names: Sequence[str]) -> frozenset[str]:
        self._enter("active", " ".join(names), effect=False)
        running = {self.service.name} if self.service.state in {"active", "activating"} else set()
        return frozenset(names) & (running | self.state.others)

    def restart(self, name: str, *, timeout_s: float) -> None:
        self._enter("restart", name)
        if name != self.service.name:
            raise errors.UnitError(f"cannot restart {name}: not found")
        job = self.service.restart("agent")
        self.gate.during()
        done = self.clock.advance(timeout_s, until=lambda: job in self.service.results)
        if not done:
            raise errors.UnitError(f"cannot restart {name}: not done after {timeout_s:.0f} s")
        result = self.service.results[job]
        if result != "done":
            words = self.service.words
            raise errors.UnitError(
                f"cannot restart {name}: job result {result!r}; it said: {words}"
            )
        self.gate.after()

    def reset_failed(self, name: str) -> None:
        self._enter("reset_failed", name)
        if name == self.service.name:
            self.service.reset_failed()
        self.gate.after()

    def run(self, argv: Sequence[str], *, timeout_s: float, path: str = "") -> ports.Completed:
        """Run a program; it changes nothing, so it is no effect."""
        del path
        self._enter("run", " ".join(argv), effect=False)
        done = self.programs.run(argv, timeout_s)
        self.gate.after()
        return done

    def run_all(
        self, programs: Sequence[Sequence[str]], *, timeout_s: float
    ) -> tuple[ports.Completed, ...]:
        return tuple(self.run(argv, timeout_s=timeout_s) for argv in programs)

    @contextlib.contextmanager
    def running(
        self, programs: Sequence[Sequence[str]], *, timeout_s: float
    ) -> Generator[Callable[[], tuple[ports.Completed, ...]]]:
        """Run them when their ends are asked for: one of many orders, and always the same."""
        yield lambda: self.run_all(programs, timeout_s=timeout_s)

    def arm(self, name: str, *, delay_s: float, commands: Sequence[Sequence[str]]) -> None:
        self._enter("arm", name)
        lines = tuple(tuple(command) for command in commands)
        self.timers.waiting[name] = units.Timer(name, self.clock.now + delay_s, lines)
        self.gate.after()

    def disarm(self, name: str) -> bool:
        self._enter("disarm", name)
        waited = self.timers.waiting.pop(name, None) is not None
        firing = self.timers.firing
        if firing is not None and firing.name == name:
            ended = self.clock.advance(SWITCH_FIRING_S, until=lambda: self.timers.firing is None)
            if not ended:
                raise errors.UnitError(f"{name} has been putting things back for too long")
        self.gate.after()
        return waited


@dataclass(slots=True)
class SystemdState:
    gone: bool = False
    """D-Bus does not answer."""
    others: frozenset[str] = frozenset()
    """Active units beside containerd's."""


@dataclass(slots=True)
class FakeContainerd:
    daemon: daemon.Daemon
    programs: commands.Programs
    clock: clocks.Clock
    gate: faults.Gate

    def _enter(
        self, name: str, what: str = "", *, timeout_s: float, effect: bool = False, cri: bool = True
    ) -> None:
        self.gate.before(f"containerd.{name}", what, effect=effect)
        self.clock.advance(CALL_S)
        if not self.daemon.up:
            raise errors.CriError(f"{name}: connection refused", code="UNAVAILABLE")
        if self.daemon.mood == "mute":
            self.clock.advance(timeout_s)
            raise errors.CriError(f"{name}: no answer", code="DEADLINE_EXCEEDED")
        if cri and self.daemon.cri_error:
            text = "unknown service runtime.v1.RuntimeService"
            raise errors.CriError(f"{name}: {text}", code="UNIMPLEMENTED")

    def status(self, *, timeout_s: float) -> ports.CriStatus:
        self._enter("status", timeout_s=timeout_s)
        loaded = self.daemon.loaded
        assert loaded is not None
        return ports.CriStatus(
            runtime_version=".".join(map(str, self.daemon.release)),
            runtime_ready=self.daemon.mood != "not-ready",
            network_ready=self.daemon.network_ready,
            handlers=self.daemon.handlers,
            # 2.x does not report it (seen on 2.1.9 and 2.3.7).
            sandbox_image=loaded.sandbox_image if self.daemon.release < (2,) else "",
        )

    def containers(self, *, timeout_s: float) -> tuple[ports.Container, ...]:
        self._enter("containers", timeout_s=timeout_s, cri=False)
        return tuple(self._container(task) for _, task in sorted(self.daemon.tasks.items()))

    def _container(self, task: daemon.Task) -> ports.Container:
        return ports.Container(
            namespace=task.namespace,
            id=task.id,
            pid=task.pid,
            name=task.name,
            sandbox=task.sandbox,
            survives_restart=task.pids or self.daemon.release < daemon.FIRST_THAT_ASKS,
        )

    def sandboxes(self, *, timeout_s: float) -> tuple[ports.Sandbox, ...]:
        self._enter("sandboxes", timeout_s=timeout_s)
        found = sorted(self.daemon.sandboxes.items())
        return tuple(ports.Sandbox(key, *value) for key, value in found)

    def ensure_image(self, reference: str, *, timeout_s: float) -> str | None:
        self._enter("ensure_image", reference, timeout_s=timeout_s, effect=True)
        if reference not in self.daemon.images:
            if reference not in self.daemon.pullable:
                return f"cannot pull {reference}: no route to host"
            self.clock.advance(1)
            self.daemon.images.add(reference)
        self.gate.after()
        return None

    def run_sandbox(self, *, handler: str, name: str, timeout_s: float) -> str:
        self._enter("run_sandbox", handler, timeout_s=timeout_s, effect=True)
        loaded = self.daemon.loaded
        assert loaded is not None
        name = f"{PROOFS}/{name}"
        for sandbox in [k for k, v in self.daemon.sandboxes.items() if v[0] == name]:
            self.daemon.end_sandbox(sandbox)
        if handler not in self.daemon.handlers:
            raise _failed(f"no runtime for {handler!r} is configured")
        if loaded.sandbox_image not in self.daemon.images | self.daemon.pullable:
            raise _failed(f"failed to get sandbox image {loaded.sandbox_image!r}")
        self.daemon.images.add(loaded.sandbox_image)
        path = daemon.shim(loaded.runtimes[handler])
        shim = self._shim(path, loaded.runtimes[handler]["options"], timeout_s)
        self.clock.advance(SANDBOX_S)
        self.daemon.next_pid += 1
        sandbox = f"sandbox-{self.daemon.next_pid}"
        exe = self.daemon.disk.realpath(path)
        task = daemon.Task(sandbox, name=name, sandbox=sandbox, handler=handler, shim=path, exe=exe)
        self.daemon.add(task if shim.pids else daemon.replace(task, pids=False))
        self.daemon.sandboxes[sandbox] = (name, handler, True)
        self.gate.during()
        self.gate.after()
        return sandbox

    def _shim(self, path: str, options: object, timeout_s: float) -> shims.Behaviour:
        """Start a shim as containerd does and see what becomes of it."""
        if not path:
            return shims.Behaviour("GOOD", "runc", pids=True, sha256="")
        found = self.programs.shim(path)
        if found is None:
            raise _failed(f"failed to start shim: fork/exec {path}: no such file or bad format")
        if found.kind in {"BAD", "CRASH"}:
            raise _failed(f"failed to start shim: {path}: exit status 3")
        if found.kind == "HANG":
            self.clock.advance(timeout_s)
            raise errors.CriError("run_sandbox: deadline exceeded", code="DEADLINE_EXCEEDED")
        if isinstance(options, dict) and options and not _accepted(options, self.daemon.release):
            raise _failed("invalid shim options: missing field `systemd_cgroup`")
        return found

    def remove_sandbox(self, sandbox: str, *, timeout_s: float) -> None:
        self._enter("remove_sandbox", sandbox, timeout_s=timeout_s, effect=True)
        self.daemon.end_sandbox(sandbox)
        self.gate.after()

    def stop(self, container: ports.Container, *, timeout_s: float) -> None:
        self._enter("stop", container.id, timeout_s=timeout_s, effect=True, cri=False)
        task = self.daemon.tasks.get(container.id)
        if task is not None:
            self.daemon.stopped.append(task.id)
            self.daemon.drop(task)
        self.gate.after()

    @contextlib.contextmanager
    def heard(self) -> Generator[None]:
        self.daemon.heard = True
        try:
            yield
        finally:
            self.daemon.heard = False

    def close(self) -> None:
        self.gate.before("containerd.close", effect=False)


def _accepted(options: dict[str, object], release: tuple[int, int, int]) -> bool:
    """Tell whether a shim of containerd-shim-wasm takes these options."""
    return release >= (1, 7) and type(options.get("SystemdCgroup")) is bool


def _failed(text: str) -> errors.CriError:
    return errors.CriError(f"run_sandbox: {text}", code="UNKNOWN")


@dataclass(slots=True)
class FakeMachine:
    boot: str
    daemon: daemon.Daemon
    service: units.Service
    clock: clocks.Clock
    gate: faults.Gate

    def boot_id(self) -> str:
        self.gate.before("machine.boot_id", effect=False)
        return self.boot

    def uptime_s(self) -> float:
        self.gate.before("machine.uptime_s", effect=False)
        return self.clock.now

    def architecture(self) -> str:
        self.gate.before("machine.architecture", effect=False)
        return "amd64"

    def processes(self, also: Collection[int] = ()) -> tuple[ports.Process, ...]:
        del also
        self.gate.before("machine.processes", effect=False)
        found = [ports.Process(1, "/usr/lib/systemd/systemd", ("/sbin/init",), space=_HOST)]
        service = self.service
        if service.pid:
            started = service.started_us // (1_000_000 // HZ)
            found.append(
                ports.Process(service.pid, service.argv[0], service.argv, 1, started, _HOST)
            )
        tasks = {task.pid: task for task in self.daemon.tasks.values()} | self.daemon.leaked
        found += [_process(pid, task) for pid, task in sorted(tasks.items())]
        return tuple(found)

    def end(self, doomed: Sequence[ports.Process]) -> None:
        known = {(p.pid, p.started) for p in self.processes()}
        for process in doomed:
            self.gate.before("machine.end", str(process.pid))
            if (process.pid, process.started) in known:
                self._kill(process.pid)
            self.gate.after()

    def _kill(self, pid: int) -> None:
        self.daemon.leaked.pop(pid, None)
        for task in [t for t in self.daemon.tasks.values() if t.pid == pid]:
            self.daemon.lost.append(f"{task.id}: its process was killed")
            self.daemon.drop(task)
        if pid == self.service.pid:
            self.service.crash()

    def wait(self, seconds: float) -> None:
        self.gate.before("machine.wait", effect=False)
        self.clock.advance(seconds)


def _process(pid: int, task: daemon.Task) -> ports.Process:
    address = "/run/containerd/containerd.sock"
    argv = (task.shim, "-namespace", task.namespace, "-id", task.id, "-address", address)
    started = round(task.started_s * HZ)
    return ports.Process(pid, task.exe or task.shim, argv, 1, started, _HOST)
