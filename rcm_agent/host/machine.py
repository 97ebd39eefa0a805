"""What is neither file nor service (`ports.Machine`): boot, clock, processes, waiting."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from types import FrameType

from rcm_agent import errors, ports
from rcm_agent.host import processes

_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}

_BOOT_ID = "proc/sys/kernel/random/boot_id"


class RealMachine:
    """The machine whose file system is mounted at `root`."""

    def __init__(self, root: str = "/", *, stop: threading.Event | None = None) -> None:
        """Serve the machine; `stop` ends every wait."""
        self._root = Path(root)
        self.stop = stop or threading.Event()
        """Ends every wait once it is set."""

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

    def processes(self, also: Collection[int] = ()) -> tuple[ports.Process, ...]:
        """Every process that /proc shows, by pid; those that end meanwhile are left out."""
        del also  # all are shown
        proc = self._root / "proc"
        try:
            pids = sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdigit())
        except OSError as error:
            raise errors.HostError(
                f"cannot list the processes in {proc}: {error.strerror}",
                advice="mount the host's /proc there",
            ) from error
        found = (processes.read(proc / str(pid)) for pid in pids)
        return tuple(process for process in found if process is not None)

    def end(self, doomed: Sequence[ports.Process]) -> None:
        """End processes (SIGKILL); one that is gone, or whose pid is another's now, is fine."""
        for process in doomed:
            self._end(process)

    def _end(self, process: ports.Process) -> None:
        processes.check(process)
        try:
            handle = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return
        try:
            # The handle is of one process for good; is it the one that was meant?
            now = processes.read(self._root / "proc" / str(process.pid))
            if now is not None and now.started == process.started:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:
            return
        except OSError as error:
            raise errors.HostError(
                f"cannot kill process {process.pid}: {error.strerror}",
                advice="run as root, in the host's PID namespace",
            ) from error
        finally:
            os.close(handle)

    def wait(self, seconds: float) -> None:
        """Let time pass, unless the agent is told to stop."""
        self.stop.wait(seconds)


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
