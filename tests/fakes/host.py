"""The simulated host as a test sees it: furnish it, let an agent work, kill, cut the power, look.

    host = FakeHost("2.3.4", config=b"version = 3\\n")
    agent(host.ports)                      # the agent under test, in the same process
    host.faults = [Fault(Kill(), at=17, when="after")]
    with pytest.raises(Killed): agent(host.ports)
    host.kill()                            # its locks and files are let go
    host.pass_time(120)                    # the switch fires
    after = host.power_cut(seed=3)         # another FakeHost, booted from the disk

Everything is data: `fork()` gives an independent copy at any point, also in the middle of a call.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rcm_agent import ports
from tests.fakes import clock as clocks
from tests.fakes import commands, daemon, doors, durability, faults, units
from tests.fakes import disk as disks
from tests.fakes import kernel as kernels

CONFIG = "/etc/containerd/config.toml"
UNIT = "containerd.service"
PROGRAM = "/usr/bin/containerd"
RUNC = "/usr/bin/containerd-shim-runc-v2"
SOCKET = "/run/containerd/containerd.sock"
FURNITURE: Mapping[str, bytes] = {
    PROGRAM: b"\x7fELF containerd",
    RUNC: b"\x7fELF runc",
    "/etc/os-release": b'ID=debian\nVERSION_ID="12"\n',
    "/etc/machine-id": b"0123456789abcdef0123456789abcdef\n",
}


def release(version: str) -> tuple[int, int, int]:
    major, minor, patch = version.split(".")
    return int(major), int(minor), int(patch)


class FakeHost:
    """One host with one containerd."""

    def __init__(
        self,
        version: str = "2.3.4",
        *,
        config: bytes | None = b"version = 2\n",
        files: Mapping[str, bytes] | None = None,
        tasks: tuple[daemon.Task, ...] = (),
        disk: disks.Disk | None = None,
        boot: int = 1,
        start: bool = True,
    ) -> None:
        self.version = version
        self.boot = boot
        self.disk = disk or _furnished(config, files or {})
        self.disk.special(SOCKET)
        self.clock = clocks.Clock()
        self.daemon = daemon.Daemon(self.disk, release(version), CONFIG)
        self.daemon.clock = self.clock
        self.service = units.Service(UNIT, (PROGRAM,), self.clock, self.daemon)
        self.programs = commands.Programs(self.disk, self.clock, release(version), self.service)
        self.timers = units.Timers(self.clock, self.service, self.programs.execute)
        self.clock.actors = [self.service, self.timers]
        self.systemd = doors.SystemdState()
        self.faults: list[faults.Fault] = []
        self.effects: list[faults.Effect] = []
        """Of the newest agent."""
        self.watch: Callable[[str], None] | None = None
        self._agents: list[tuple[kernels.FakeKernel, faults.Gate, ports.Host]] = []
        for task in tasks:
            self.daemon.add(task)
        if start:
            self._start()

    def _start(self) -> None:
        self.service.restart("boot")
        self.clock.advance(20)
        if self.daemon.loaded is not None and self.boot == 1:
            # The second is the one that every node of the test bed has.
            self.daemon.images |= {self.daemon.loaded.sandbox_image, "rcm.test/pause:1"}

    # --- agents ---

    @property
    def ports(self) -> ports.Host:
        """The doors of the living agent; of a new one after `kill`."""
        return self._agents[0][2] if self._agents else self.agent()

    def agent(self) -> ports.Host:
        """Start one more agent process: its own handles and locks, its own kill points."""
        self.effects = []
        gate = faults.Gate(
            faults=self.faults,
            effects=self.effects,
            now=lambda: self.clock.now,
            spend=self._spend,
            edit=self.edit,
            watch=self.watch,
        )
        kernel = kernels.FakeKernel(self.disk, gate)
        made = ports.Host(
            kernel=kernel,
            systemd=doors.FakeSystemd(
                self.service, self.timers, self.programs, self.clock, gate, self.systemd
            ),
            containerd=doors.FakeContainerd(self.daemon, self.programs, self.clock, gate),
            machine=doors.FakeMachine(
                f"boot-{self.boot}", self.daemon, self.service, self.clock, gate
            ),
        )
        self._agents.append((kernel, gate, made))
        return made

    def kill(self) -> None:
        """End every agent: what they hold is let go, the host lives on."""
        for kernel, gate, _ in self._agents:
            gate.dead = True
            kernel.release()
        self._agents.clear()

    def _spend(self, seconds: float) -> None:
        self.clock.advance(seconds)

    # --- what happens to hosts ---

    def pass_time(self, seconds: float) -> None:
        """Let timers fire and jobs end."""
        self.clock.advance(seconds)

    def edit(self, edit: faults.Edit) -> None:
        """Let somebody else change a file, properly and durably."""
        if edit.content is None and edit.append is None:
            self.disk.forget(edit.path)
        elif edit.append is not None:
            self.disk.put(edit.path, (self.disk.get(edit.path) or b"") + edit.append)
        else:
            self.disk.put(edit.path, edit.content or b"")
        number = self.disk.itself(self.disk.realpath(edit.path))
        if number is not None:
            durability.fsync(self.disk, number)
        parent, _ = self.disk.entry(self.disk.realpath(edit.path))
        durability.fsync_directory(self.disk, parent)

    def restart_containerd(self) -> None:
        """Let somebody else restart containerd."""
        self.service.reset_failed()
        self.service.restart("somebody")
        self.clock.advance(5)

    def power_cut(self, seed: int | None = None) -> FakeHost:
        """Return the host after a reboot; see `durability.power_cut`."""
        return self._booted(durability.power_cut(self.disk, seed))

    def power_cuts(self, *, many: int = durability.MANY) -> Iterator[FakeHost]:
        """Yield the host for every state that a power cut may leave."""
        return (self._booted(disk) for disk in durability.power_cuts(self.disk, many=many))

    def _booted(self, disk: disks.Disk) -> FakeHost:
        """Start from a disk: containers are gone, CRI still lists their sandboxes as not ready."""
        after = FakeHost(self.version, disk=disk, boot=self.boot + 1, start=False)
        after.daemon.quirks = list(self.daemon.quirks)
        after.daemon.images |= self.daemon.images
        after.daemon.pullable |= self.daemon.pullable
        after.daemon.sandboxes = {
            key: (name, handler, False) for key, (name, handler, _) in self.daemon.sandboxes.items()
        }
        after.programs.executed = list(self.programs.executed)
        after._start()
        return after

    # --- copies ---

    def fork(self) -> FakeHost:
        """Return an independent copy on which every agent has just been killed."""
        copy: FakeHost = pickle.loads(pickle.dumps(self, protocol=5))  # noqa: S301 - our own bytes
        return copy

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state["_agents"], state["watch"], state["faults"], state["effects"] = [], None, [], []
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.disk.locks.clear()
        self.disk.writers.clear()


def _furnished(config: bytes | None, files: Mapping[str, bytes]) -> disks.Disk:
    disk = disks.Disk()
    for path, data in {**FURNITURE, **files}.items():
        disk.put(path, data, mode=0o755 if path.startswith("/usr/bin/") else 0o644)
    disk.makedirs("/etc/containerd")
    disk.makedirs("/opt")
    if config is not None:
        disk.put(CONFIG, config)
    disk.settle()
    return disk
