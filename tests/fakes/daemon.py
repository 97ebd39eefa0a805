"""containerd's side of the simulated host: what it has loaded, what runs, what a restart loses.

`units.Service` starts and ends it, `doors.FakeContainerd` asks it. Running containers are bundles
in /run with the path of their shim; at every start that gets past the configuration, containerd
deletes the bundles whose shim is missing, and from 1.7 on loses the containers whose shim does not
answer `Pids` and leaves their processes behind. What was lost stays in `lost`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tests.fakes import clock as clocks
from tests.fakes import config, units
from tests.fakes import disk as disks

START_S = 0.3
"""A healthy containerd needs 0.2 to 0.4 s."""
BUNDLES = "/run/containerd/io.containerd.runtime.v2.task"
OURS = "/opt/rcm/"
FIRST_THAT_ASKS = (1, 7)
"""Releases from here on end containers whose shim has no `Pids`."""


@dataclass(frozen=True, slots=True)
class Task:
    """A running container and its shim."""

    id: str
    namespace: str = "k8s.io"
    name: str = ""
    sandbox: str = ""
    handler: str = "runc"
    shim: str = "/usr/bin/containerd-shim-runc-v2"
    """The path that its bundle records."""
    exe: str = ""
    """What the process really is; empty: the same."""
    pids: bool = True
    pid: int = 0
    started_s: float = 0.0
    """Since boot."""

    @property
    def bundle(self) -> str:
        return f"{BUNDLES}/{self.namespace}/{self.id}"


@dataclass(frozen=True, slots=True)
class Quirk:
    """How containerd misbehaves, with our runtimes in its configuration or always."""

    what: Literal["exit", "hang", "unheard", "slow", "cri-dead", "no-handler", "not-ready", "mute"]
    """`unheard`: hangs unless somebody reads the log of a shim that was cut off."""
    only_with_ours: bool = True
    seconds: float = 90.0
    times: int = 0
    """How many starts; 0: each."""


@dataclass(slots=True)
class Daemon:
    """One containerd."""

    disk: disks.Disk
    release: tuple[int, int, int]
    path: str = "/etc/containerd/config.toml"
    tasks: dict[str, Task] = field(default_factory=dict)
    sandboxes: dict[str, tuple[str, str, bool]] = field(default_factory=dict)
    """Id to name, handler, ready."""
    images: set[str] = field(default_factory=set)
    pullable: set[str] = field(default_factory=set)
    network_ready: bool = True
    quirks: list[Quirk] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """Containers that a restart ended, and why."""
    stopped: list[str] = field(default_factory=list)
    """Containers that somebody ended through the API."""
    leaked: dict[int, Task] = field(default_factory=dict)
    """Processes that containerd has forgotten."""
    loaded: config.Loaded | None = None
    """None: no process."""
    up: bool = False
    mood: str = ""
    heard: bool = False
    """Somebody reads the shims' logs."""
    next_pid: int = 5000
    clock: clocks.Clock | None = None

    # --- life ---

    def begin(self) -> units.Start:
        try:
            self.loaded = config.load(self.disk, self.path, self.release)
        except config.Unreadable as error:
            return units.Start("exit", 0.05, f"containerd: {error}")
        self.mood, seconds = self._mood(self.loaded)
        if self.mood == "exit":
            return units.Start("exit", 0.05, "containerd: panic: injected")
        if self.mood == "hang" or (self.mood == "unheard" and not self.heard):
            return units.Start("hang", 0)
        self._load_tasks()
        return units.Start("ready", seconds if self.mood == "slow" else START_S)

    def serve(self) -> None:
        self.up = True

    def end(self) -> None:
        self.up, self.loaded, self.mood = False, None, ""

    def _mood(self, loaded: config.Loaded) -> tuple[str, float]:
        for position, quirk in enumerate(self.quirks):
            if quirk.only_with_ours and not ours(loaded):
                continue
            if quirk.times == 1:
                del self.quirks[position]
            elif quirk.times:
                self.quirks[position] = replace(quirk, times=quirk.times - 1)
            return quirk.what, quirk.seconds
        return "", 0

    def _load_tasks(self) -> None:
        for task in list(self.tasks.values()):
            recorded = self.disk.get(f"{task.bundle}/shim-binary-path")
            path = recorded.decode() if recorded is not None else ""
            if self.disk.get(path) is None:
                self._lose(task, f"its bundle names {path or 'nothing'}, which is not there")
            elif not task.pids and self.release >= FIRST_THAT_ASKS:
                self._lose(task, "its shim has no Pids")

    def _lose(self, task: Task, why: str) -> None:
        self.lost.append(f"{task.id}: {why}")
        self.leaked[task.pid] = task
        self.drop(task)

    # --- tasks ---

    def add(self, task: Task) -> Task:
        """Start a container."""
        self.next_pid += 1
        now = self.clock.now if self.clock is not None else 0.0
        pid = task.pid or self.next_pid
        task = replace(task, pid=pid, name=task.name or task.id, started_s=now)
        self.tasks[task.id] = task
        self.disk.put(f"{task.bundle}/shim-binary-path", task.shim.encode())
        return task

    def drop(self, task: Task) -> None:
        """Forget a container and its bundle."""
        self.tasks.pop(task.id, None)
        self.disk.forget(task.bundle)

    def end_sandbox(self, sandbox: str) -> None:
        """Stop what runs in a sandbox and forget it."""
        for task in [t for t in self.tasks.values() if t.sandbox == sandbox]:
            self.stopped.append(task.id)
            self.drop(task)
        self.sandboxes.pop(sandbox, None)

    # --- questions ---

    @property
    def cri_error(self) -> str:
        """Why CRI does not answer although the daemon does."""
        if self.loaded is None:
            return "no daemon"
        return "injected" if self.mood == "cri-dead" else self.loaded.cri_error

    @property
    def handlers(self) -> frozenset[str]:
        if self.loaded is None or self.cri_error:
            return frozenset()
        found = self.loaded.runtimes
        if self.mood == "no-handler":
            mine = ours(self.loaded)
            return frozenset(name for name in found if name not in mine)
        return frozenset(found)


def ours(loaded: config.Loaded) -> frozenset[str]:
    """Return the handlers whose binary is ours."""
    return frozenset(
        name for name, table in loaded.runtimes.items() if shim(table).startswith(OURS)
    )


def shim(table: Mapping[str, Any]) -> str:
    """Return the path of a runtime's shim; empty for one that is looked up by name."""
    path = str(table["runtime_type"])
    return path if path.startswith("/") else ""
