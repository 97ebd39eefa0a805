"""What is neither file nor service (`ports.Machine`): boot, clock, processes, waiting."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType

from rcm_agent import errors, ports

_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}

_BOOT_ID = "proc/sys/kernel/random/boot_id"


class RealMachine:
    """The machine whose file system is mounted at `root`."""

    def __init__(self, root: str = "/", *, stop: threading.Event | None = None) -> None:
        """Serve the machine; `stop` ends every wait."""
        self._root = Path(root)
        self._stop = stop or threading.Event()

    def boot_id(self) -> str:
        """The kernel's random id of this boot.

        A root without /proc (an image being made) has the kernel that we run on.
        """
        for base in (self._root, Path("/")):
            try:
                return (base / _BOOT_ID).read_text(encoding="ascii").strip()
            except OSError:
                continue
        raise errors.HostError(
            f"cannot read /{_BOOT_ID}", advice="mount /proc where the agent runs"
        )

    def uptime_s(self) -> float:
        """Seconds since boot, suspend included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def architecture(self) -> str:
        """`amd64` or `arm64`, or what `uname -m` says."""
        machine = os.uname().machine
        return _NAMES.get(machine, machine)

    def processes(self) -> tuple[ports.Process, ...]:
        """Every process that /proc shows, by pid; those that end meanwhile are left out."""
        proc = self._root / "proc"
        try:
            pids = sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdigit())
        except OSError as error:
            raise errors.HostError(
                f"cannot list the processes in {proc}: {error.strerror}",
                advice="mount the host's /proc there",
            ) from error
        return tuple(found for pid in pids if (found := _process(proc / str(pid))) is not None)

    def kill(self, pid: int) -> None:
        """End a process (SIGKILL); one that is gone is fine."""
        if pid <= 1:
            raise ValueError(f"not a process to kill: {pid}")
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        except OSError as error:
            raise errors.HostError(
                f"cannot kill process {pid}: {error.strerror}",
                advice="run as root, in the host's PID namespace",
            ) from error

    def wait(self, seconds: float) -> None:
        """Let time pass, unless the agent is told to stop."""
        self._stop.wait(seconds)


def interrupt_once() -> None:
    """Make the first SIGINT or SIGTERM raise KeyboardInterrupt, and ignore the following ones.

    So a person can stop a run, and cannot stop it from putting the host back.
    """

    def tell(_number: int, _frame: FrameType | None) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, tell)


def _process(directory: Path) -> ports.Process | None:
    try:
        words = (directory / "cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        return None
    try:
        exe = str((directory / "exe").readlink())
    except OSError:
        exe = ""  # a kernel thread, or a process that has just ended
    argv = tuple(word.decode(errors="surrogateescape") for word in words)
    return ports.Process(pid=int(directory.name), exe=exe, argv=argv)
