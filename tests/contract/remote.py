"""The real doors of a node, called from the test process as if they were here.

    with remote.opened(node) as agent:
        agent.host.systemd.unit("containerd.service")
        agent.kill()                                     # SIGKILL to the process in the node

A process in the node holds the real `ports.Host`. Calls travel as pickles over the pipes of
`docker exec`; results and errors come back as the same objects.
"""

from __future__ import annotations

import collections.abc
import contextlib
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from rcm_agent import ports

POD = "pod"
"""As a root: what a pod with `MOUNTS` sees."""
MOUNTS = ("/etc/containerd", "/opt/rcm", "/run/containerd", "/run/rcm", "/run/systemd/private")

_SERVE = "from tests.contract import remote; remote.serve()"
_PYTHON = {"PYTHONPATH": "/srv/rcm:/srv/rcm-deps", "PYTHONPYCACHEPREFIX": "/var/cache/rcm-pycache"}


def serve() -> None:
    """Answer calls until stdin ends. Runs in the node."""
    from rcm_agent.host import open as opening  # noqa: PLC0415 - only the node needs it

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not get between the answers
    calls = sys.stdin.buffer
    root, sockets = pickle.load(calls)  # noqa: S301 - our own test's bytes
    host = (
        opening.open_pod(MOUNTS, **sockets) if root == POD else opening.open_host(root, **sockets)
    )
    _send(answers, os.getpid())
    while True:
        try:
            door, method, args, kwargs = pickle.load(calls)  # noqa: S301
        except EOFError:
            return
        try:
            result = getattr(getattr(host, door), method)(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - it is raised again in the test
            _send(answers, ("raised", _Raised(type(error), error.args, vars(error))))
        else:
            _send(answers, ("returned", result))


def _send(stream: Any, value: object) -> None:
    pickle.dump(value, stream)
    stream.flush()


@dataclass(frozen=True, slots=True)
class _Raised:
    """An exception in parts: those with arguments by keyword only cannot be pickled whole."""

    kind: type[BaseException]
    args: tuple[Any, ...]
    attributes: dict[str, Any]

    def whole(self) -> BaseException:
        error = self.kind.__new__(self.kind, *self.args)
        error.args = self.args
        vars(error).update(self.attributes)
        return error


@dataclass(frozen=True, slots=True)
class Door:
    """One of the four doors; every attribute is a method."""

    process: subprocess.Popen[bytes]
    name: str

    def __getattr__(self, method: str) -> collections.abc.Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            _send(self.process.stdin, (self.name, method, args, kwargs))
            outcome, value = pickle.load(self.process.stdout)  # noqa: S301
            if outcome == "raised":
                raise value.whole()
            return value

        return call


@dataclass(frozen=True, slots=True)
class Agent:
    """A process in a node that holds its doors."""

    node: Any
    host: ports.Host
    pid: int

    def kill(self) -> None:
        """End it for good, at once."""
        self.node.exec(["kill", "-9", str(self.pid)])


@contextlib.contextmanager
def opened(node: Any, root: str = "/", **sockets: str) -> collections.abc.Iterator[Agent]:
    """Start a process that opens the node's doors; it ends with the block."""
    from tests.testbed import shell  # noqa: PLC0415 - the node has no Docker

    process = subprocess.Popen(
        [*shell.command(node.name, env=_PYTHON), "python3", "-P", "-c", _SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    _send(process.stdin, (root, sockets))
    pid = pickle.load(process.stdout)  # noqa: S301
    doors = {name: Door(process, name) for name in ("kernel", "systemd", "containerd", "machine")}
    host: Any = ports.Host(**doors)  # type: ignore[arg-type]
    try:
        yield Agent(node, host, pid)
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.communicate(timeout=10)
