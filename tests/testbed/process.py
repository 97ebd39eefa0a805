"""One process of the test bed: started, watched, stopped, killed.

It ends with the thread that started it (the kernel's parent-death signal is a thread's), unless it
is to outlive us.
"""

import pathlib
import shutil
import signal
import subprocess

from tests.testbed import errors

_LOG_TAIL_BYTES = 1500


class Program:
    """One process, which can be killed and started again."""

    def __init__(self, argv: list[str], *, log: pathlib.Path, outlives_us: bool = False) -> None:
        self.name = pathlib.Path(argv[0]).name
        self.log = log
        self._argv = argv if outlives_us else [*_dies_with_us(), *argv]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; what it says is added to the log."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop it
                cwd=self.log.parent,
            )

    def leave(self) -> None:
        """Let it run on without us."""
        if self._process is not None:
            # Keeps Popen from warning about a process that it still believes to be running.
            self._process.returncode = 0
            self._process = None

    def kill(self) -> None:
        """End it at once: after SIGTERM an API server keeps its port for some 20 seconds."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, for example SIGSTOP and SIGCONT."""
        assert self._process is not None
        self._process.send_signal(number)

    def check(self) -> None:
        """Raise if it has ended by itself."""
        if self._process is not None and (code := self._process.poll()) is not None:
            raise errors.NodeError(f"{self.name} exited with {code}: {self.last_words()}")

    def last_words(self) -> str:
        """Return the end of the log."""
        said = self.log.read_bytes() if self.log.exists() else b""
        return said[-_LOG_TAIL_BYTES:].decode(errors="replace")

    def rss_bytes(self) -> int:
        """Return the resident memory of the process."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024


def _dies_with_us() -> list[str]:
    """Let the kernel kill the program when the tests are killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig=KILL", "--"] if setpriv else []
