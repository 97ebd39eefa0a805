"""What the agent may ask of a host: four doors, as protocols, and the records that pass them.

`rcm_agent.host` implements them on a real machine, `tests/fakes` on a simulated one; both are
held to the same contract tests. No behaviour belongs here.

Paths are absolute `str` as the host itself sees them (`/etc/containerd/config.toml`), whatever
directory the host is mounted at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

# --- files ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stat:
    """What lstat tells."""

    kind: Literal["file", "dir", "link", "other"]
    mode: int
    """Permission bits only, for example 0o644."""
    uid: int
    gid: int
    size: int
    links: int


class Kernel(Protocol):
    """The few system calls on files that the agent makes; nothing is cached or combined here.

    Every method raises the OSError of the call. Handles are small integers.
    """

    def lstat(self, path: str) -> Stat | None:
        """Return what is at `path` itself, None when nothing is."""
        ...

    def present(self, paths: Sequence[str]) -> frozenset[str]:
        """Return those of the paths where something is, links not followed."""
        ...

    def realpath(self, path: str) -> str:
        """Follow every symbolic link; a missing last part is kept."""
        ...

    def within_reach(self, path: str) -> bool:
        """Tell whether what `path` leads to is in a directory of the host that the agent has."""
        ...

    def read(self, path: str) -> bytes:
        """Return a file's whole content, links followed."""
        ...

    def listdir(self, path: str) -> tuple[str, ...]:
        """Return the names in a directory, sorted."""
        ...

    def readlink(self, path: str) -> str:
        """Return a symbolic link's text."""
        ...

    def mkdir(self, path: str, mode: int) -> None:
        """Create one directory."""
        ...

    def create(self, path: str, mode: int) -> int:
        """Create a file that must not exist (O_EXCL, O_CLOEXEC, O_NOFOLLOW), open for writing."""
        ...

    def append(self, path: str) -> int:
        """Open an existing regular file for appending (O_CLOEXEC, O_NOFOLLOW)."""
        ...

    def write(self, handle: int, data: bytes | memoryview) -> None:
        """Write all of `data`."""
        ...

    def fchmod(self, handle: int, mode: int) -> None:
        """Set permission bits, whatever the umask."""
        ...

    def fchown(self, handle: int, uid: int, gid: int) -> None:
        """Set the owner."""
        ...

    def fsync(self, handle: int) -> None:
        """Make the file's content durable."""
        ...

    def close(self, handle: int) -> None:
        """Close a handle of `create`, `append` or `lock`."""
        ...

    def rename(self, source: str, target: str) -> None:
        """Replace `target` by `source` in one step."""
        ...

    def symlink(self, text: str, path: str) -> None:
        """Create a symbolic link that must not exist."""
        ...

    def unlink(self, path: str) -> None:
        """Remove a file or link."""
        ...

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        ...

    def fsync_dir(self, path: str) -> None:
        """Make the directory's entries durable."""
        ...

    def lock(self, path: str) -> int | None:
        """Take an exclusive flock on `path` (created when missing); None when somebody has it."""
        ...


# --- systemd ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as systemd sees it now."""

    name: str
    load_state: str
    """`loaded`, `not-found`, …"""
    active_state: str
    """`active`, `activating`, `failed`, …"""
    main_pid: int
    started_us: int
    """ExecMainStartTimestampMonotonic, microseconds since boot; 0 when it never ran."""
    argv: tuple[str, ...]
    """Of its first ExecStart."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A host program that ended."""

    exit_code: int
    """Negative: the signal that ended it."""
    stdout: bytes
    stderr: bytes


class Systemd(Protocol):
    """The host's service manager. Raises `errors.UnitError`; a deadline that passes is one too."""

    def unit(self, name: str) -> Unit:
        """Return the unit's state; a unit that is not there has load_state `not-found`."""
        ...

    def active(self, names: Sequence[str]) -> frozenset[str]:
        """Return those of the units that run, or are about to."""
        ...

    def restart(self, name: str, *, timeout_s: float) -> None:
        """Restart and wait until the job is done."""
        ...

    def reset_failed(self, name: str) -> None:
        """Forget failures and the start limit."""
        ...

    def run(self, argv: Sequence[str], *, timeout_s: float, path: str = "") -> Completed:
        """Run a program of the host to its end, with `path` as its PATH when given."""
        ...

    def run_all(
        self, programs: Sequence[Sequence[str]], *, timeout_s: float
    ) -> tuple[Completed, ...]:
        """Run programs side by side, each to its end; `timeout_s` is for each."""
        ...

    def running(
        self, programs: Sequence[Sequence[str]], *, timeout_s: float
    ) -> AbstractContextManager[Callable[[], tuple[Completed, ...]]]:
        """Start what `run_all` runs; what you get waits for it, and so does the block's end."""
        ...

    def arm(self, name: str, *, delay_s: float, commands: Sequence[Sequence[str]]) -> None:
        """Run `commands` one after the other in `delay_s` seconds, whatever becomes of us.

        A command that fails does not stop the next one.
        """
        ...

    def disarm(self, name: str) -> bool:
        """Take back `arm`; False when nothing of that name waits any more (fired, or never was)."""
        ...


# --- containerd -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CriStatus:
    """What the runtime says of itself."""

    runtime_version: str
    runtime_ready: bool
    network_ready: bool
    handlers: frozenset[str]
    """Names of the runtimes it has loaded (without the default's empty alias)."""
    sandbox_image: str
    """Empty when it does not say."""


@dataclass(frozen=True, slots=True)
class Container:
    """A running task of containerd, in whatever namespace."""

    namespace: str
    id: str
    pid: int
    name: str
    """For people: `namespace/pod/container` for CRI, else the id."""
    sandbox: str
    """Id of its CRI sandbox (its own for the sandbox container); empty outside CRI."""
    survives_restart: bool
    """Whether its shim answers `Pids`, so that a restart of containerd does not lose it."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A pod sandbox that CRI knows."""

    id: str
    name: str
    """`namespace/pod`."""
    handler: str
    ready: bool


class Containerd(Protocol):
    """containerd's own gRPC. Raises `errors.CriError`."""

    def status(self, *, timeout_s: float) -> CriStatus:
        """Ask CRI Version and Status (verbose)."""
        ...

    def containers(self, *, timeout_s: float) -> tuple[Container, ...]:
        """Every running task of every namespace, with whether it would survive a restart."""
        ...

    def sandboxes(self, *, timeout_s: float) -> tuple[Sandbox, ...]:
        """Every sandbox that CRI knows, ready or not."""
        ...

    def ensure_image(self, reference: str, *, timeout_s: float) -> str | None:
        """Make sure that an image is there, pulling if needed; the reason when it cannot be."""
        ...

    def run_sandbox(self, *, handler: str, name: str, timeout_s: float) -> str:
        """Start a host-network sandbox of our own with `handler`; its id."""
        ...

    def remove_sandbox(self, sandbox: str, *, timeout_s: float) -> None:
        """Stop and remove a sandbox; one that is gone is fine."""
        ...

    def stop(self, container: Container, *, timeout_s: float) -> None:
        """End a running container cleanly: through CRI when it has a sandbox, else its task."""
        ...

    def heard(self) -> AbstractContextManager[None]:
        """Read the shims' logs during a restart: a shim that nobody hears holds up containerd."""
        ...

    def close(self) -> None:
        """Drop the connection, so that the next call dials anew."""
        ...


# --- the machine ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the host."""

    pid: int
    exe: str
    """Target of /proc/PID/exe, empty when unreadable."""
    argv: tuple[str, ...]
    parent: int = 0
    started: int = 0
    """Clock ticks from boot to its start: with `pid`, which process it is. 0: unknown."""
    space: str = ""
    """Its PID namespace as the kernel names it, `pid:[…]`; empty when unreadable."""


class Machine(Protocol):
    """What is neither file nor service."""

    def boot_id(self) -> str:
        """The kernel's random id of this boot."""
        ...

    def uptime_s(self) -> float:
        """Seconds since boot, suspend included (CLOCK_BOOTTIME): does not jump with the clock."""
        ...

    def architecture(self) -> str:
        """`amd64` or `arm64`, or what `uname -m` says."""
        ...

    def processes(self, also: Collection[int] = ()) -> tuple[Process, ...]:
        """Every process of the host, by pid.

        An agent in a pod sees those that run a program below /opt/rcm, what descends from them,
        and those of `also`; it is spared the others.
        """
        ...

    def end(self, doomed: Sequence[Process]) -> None:
        """End processes (SIGKILL); one that is gone, or whose pid is another's now, is fine."""
        ...

    def wait(self, seconds: float) -> None:
        """Let time pass, unless the agent is told to stop."""
        ...


@dataclass(frozen=True, slots=True)
class Host:
    """All doors of one host."""

    kernel: Kernel
    systemd: Systemd
    containerd: Containerd
    machine: Machine


Files = Mapping[str, bytes | None]
"""Contents by path; None: no such file."""
