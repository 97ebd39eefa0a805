"""What the person at the terminal sees: headlines, commands, and what these say, as it comes.

Called by `story`. Commands run as a user would type them: in the demo's directory, with kubectl in
PATH and KUBECONFIG set.
"""

import collections.abc
import contextlib
import os
import pathlib
import shlex
import subprocess
import sys
import threading
import time

from tests.testbed import errors

_BOLD, _DIM, _PLAIN = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if sys.stdout.isatty() else ("", "", "")
# Watches show a change this much later than a look at the object, on two busy cores.
_LAST_LINES_S = 0.7
_END_TIMEOUT_S = 10.0


class Terminal:
    """One demo's output.

    Attributes:
        title: The headline of what is going on, for the words about a failure.
        environment: What commands find beside our own variables.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self.title = ""
        self.environment: dict[str, str] = {}
        self._directory = directory
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def say(self, title: str) -> None:
        """Print a headline."""
        self.title = title
        self.line(f"\n{_BOLD}== {title}{_PLAIN}  {_DIM}[{self.elapsed_s():.0f} s]{_PLAIN}")

    def line(self, text: str) -> None:
        """Print a line at once, whole, whoever else prints."""
        with self._lock:
            print(text, flush=True)

    def prompt(self, command: str, *, where: str = "$") -> None:
        """Print a command as if it were typed."""
        self.line(f"{_BOLD}{where} {command}{_PLAIN}")

    def elapsed_s(self) -> float:
        """Return the seconds since the demo began."""
        return time.monotonic() - self._began

    def run(self, *argv: str, ok: collections.abc.Container[int] = (0,)) -> str:
        """Run a command, show what it says as it comes, and return it.

        Args:
            argv: The command.
            ok: Exit codes that are no failure.

        Raises:
            CommandError: It ended with another exit code.
        """
        self.prompt(shlex.join(argv))
        said = []
        with self._start(argv, stderr=subprocess.STDOUT) as process:
            assert process.stdout is not None
            for line in process.stdout:
                said.append(line)
                self.line(line.rstrip("\n"))
        if process.returncode not in ok:
            raise errors.CommandError(argv, process.returncode, "".join(said), "")
        return "".join(said)

    def read(self, *argv: str) -> str:
        """Run a command without a word about it; return what it says.

        Raises:
            CommandError: It ended with another exit code than 0.
        """
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            check=False,
            cwd=self._directory,
            env={**os.environ, **self.environment},
        )
        if done.returncode != 0:
            raise errors.CommandError(argv, done.returncode, done.stdout, done.stderr)
        return done.stdout

    @contextlib.contextmanager
    def watching(self, *commands: tuple[str, ...]) -> collections.abc.Iterator[None]:
        """Show what `kubectl get --watch` says until the block ends, with the seconds.

        A line that differs from the object's last one in nothing but the age is left out.
        """
        for argv in commands:
            self.prompt(f"{shlex.join(argv)} &")
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            for argv in commands:
                stack.enter_context(self._watch(argv, began))
            yield
            time.sleep(_LAST_LINES_S)

    @contextlib.contextmanager
    def _watch(self, argv: tuple[str, ...], began: float) -> collections.abc.Iterator[None]:
        process = self._start(argv, stderr=subprocess.DEVNULL)
        reader = threading.Thread(target=self._follow, args=(process, began))
        reader.start()
        try:
            yield
        finally:
            process.kill()
            process.wait(_END_TIMEOUT_S)
            reader.join()
            assert process.stdout is not None
            process.stdout.close()

    def _follow(self, process: subprocess.Popen[str], began: float) -> None:
        assert process.stdout is not None
        last: dict[str, list[str]] = {}
        for line in process.stdout:
            name, *columns = line.split()
            if last.get(name) != columns[:-1]:
                last[name] = columns[:-1]
                self.line(f"{time.monotonic() - began:5.1f} s  {line.rstrip()}")

    def _start(self, argv: tuple[str, ...], *, stderr: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            bufsize=1,
            cwd=self._directory,
            env={**os.environ, **self.environment},
        )
