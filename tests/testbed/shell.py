"""Commands in a running container, with a deadline that holds inside as well.

`docker exec` of Docker's own client is the door: its stdin, its exit codes and its streams are
what a user would see. Killing that client leaves the command running in the container, so the
command runs below coreutils' `timeout`, which kills it and its children there.
"""

import collections.abc
import dataclasses
import subprocess
import time

from tests.testbed import errors

# Above the deadline inside the container, so that `timeout` there is the first to act.
_GRACE_S = 5.0
# What coreutils' timeout, and Docker, make of a SIGKILL.
_KILLED = 137
# A dead container, or none: the client says so on stderr and exits with 1.
_DAEMON_SAYS = ("Error response from daemon", "Error: No such container", "OCI runtime exec failed")


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What became of a command.

    Attributes:
        exit_code: 128 + n when signal n ended it.
        stdout: Decoded as UTF-8; bytes that are none become U+FFFD.
        stderr: Likewise.
    """

    exit_code: int
    stdout: str
    stderr: str


def run(
    container: str,
    argv: collections.abc.Sequence[str],
    *,
    data: bytes | None,
    timeout_s: float,
    env: collections.abc.Mapping[str, str] | None,
) -> tuple[int, bytes, bytes]:
    """Run a command in a container; return its exit code and what it wrote.

    Raises:
        NodeError: The container does not run, or the deadline passed.
    """
    started = time.monotonic()
    deadline = ["timeout", "--signal=KILL", f"{timeout_s:.3f}"]
    try:
        done = subprocess.run(
            [*command(container, env=env), *deadline, *argv],
            input=b"" if data is None else data,
            capture_output=True,
            check=False,
            timeout=timeout_s + _GRACE_S,
        )
    except subprocess.TimeoutExpired as error:
        raise errors.NodeError(_late(argv, timeout_s, error.stdout, error.stderr)) from error
    if done.returncode == _KILLED and time.monotonic() - started >= timeout_s:
        raise errors.NodeError(_late(argv, timeout_s, done.stdout, done.stderr))
    said = done.stderr.decode(errors="replace")
    if done.returncode != 0 and said.startswith(_DAEMON_SAYS):
        raise errors.NodeError(f"cannot run {' '.join(argv)!r}: {said.strip()}")
    return done.returncode, done.stdout, done.stderr


def command(container: str, *, env: collections.abc.Mapping[str, str] | None = None) -> list[str]:
    """Return the words that come before a command that runs in `container`."""
    variables = [f"--env={name}={value}" for name, value in (env or {}).items()]
    return ["docker", "exec", "--interactive", *variables, container]


def _late(
    argv: collections.abc.Sequence[str], timeout_s: float, stdout: object, stderr: object
) -> str:
    said = "".join(
        part.decode(errors="replace") for part in (stdout, stderr) if isinstance(part, bytes)
    )
    return f"{' '.join(argv)!r} did not end within {timeout_s:g} s; it said: {said[-2000:]}"
