"""containerd's gRPC (`ports.Containerd`): what CRI and the task service say, joined.

Called by `look`, `verify` and `run`.
"""

from __future__ import annotations

import contextlib
import posixpath
import time

from rcm_agent import errors, ports
from rcm_agent.host import cri, log_pipes, tasks
from rcm_agent.host import sandbox as proofs
from rcm_agent.host.channel import Channel

SOCKET = "/run/containerd/containerd.sock"

CRI_NAMESPACE = "k8s.io"
"""containerd's namespace for all that CRI makes."""

_GRACE_SHARE = 3
"""A third of the time to stop a container is for it to end by itself."""


class RealContainerd:
    """containerd behind its socket."""

    def __init__(self, socket: str = SOCKET) -> None:
        """Serve the containerd that listens on `socket` (a path in our own file system)."""
        self._channel = Channel(socket)
        self._state = posixpath.dirname(socket)

    def status(self, *, timeout_s: float) -> ports.CriStatus:
        """Ask CRI Version and Status (verbose)."""
        return cri.status(self._channel, timeout_s=timeout_s)

    def containers(self, *, timeout_s: float) -> tuple[ports.Container, ...]:
        """Every running task of every namespace, with whether it would survive a restart.

        Names and sandboxes are missing where CRI is dead or disabled.
        """
        deadline = time.monotonic() + timeout_s
        found = tasks.running(self._channel, timeout_s=timeout_s)
        names = self._names(timeout_s=deadline - time.monotonic())
        return tuple(_container(task, names) for task in found)

    def sandboxes(self, *, timeout_s: float) -> tuple[ports.Sandbox, ...]:
        """Every sandbox that CRI knows, ready or not."""
        return cri.sandboxes(self._channel, timeout_s=timeout_s)

    def ensure_image(self, reference: str, *, timeout_s: float) -> str | None:
        """Make sure that an image is there, pulling if needed; the reason when it cannot be."""
        return cri.ensure_image(self._channel, reference, timeout_s=timeout_s)

    def run_sandbox(self, *, handler: str, name: str, timeout_s: float) -> str:
        """Start a host-network sandbox of our own with `handler`; its id."""
        return proofs.run(self._channel, handler=handler, name=name, timeout_s=timeout_s)

    def remove_sandbox(self, sandbox: str, *, timeout_s: float) -> None:
        """Stop and remove a sandbox; one that is gone is fine."""
        cri.remove_sandbox(self._channel, sandbox, timeout_s=timeout_s)

    def stop(self, container: ports.Container, *, timeout_s: float) -> None:
        """End a running container cleanly.

        In CRI its whole sandbox stops: all containers are asked to end and have a third of the
        time for it, as StopPodSandbox alone would kill them at once.
        """
        if not container.sandbox:
            tasks.end(self._channel, container.namespace, container.id, timeout_s=timeout_s)
            return
        deadline = time.monotonic() + timeout_s
        members = [
            id_
            for id_, (_, sandbox) in cri.names(self._channel, timeout_s=timeout_s).items()
            if sandbox == container.sandbox != id_
        ]
        grace_s = max(int(timeout_s / _GRACE_SHARE), 1)
        cri.stop_containers(self._channel, members, grace_s=grace_s, timeout_s=timeout_s)
        cri.stop_sandbox(self._channel, container.sandbox, timeout_s=deadline - time.monotonic())
        tasks.require_gone(
            self._channel,
            container.namespace,
            container.id,
            timeout_s=deadline - time.monotonic(),
        )

    def heard(self) -> contextlib.AbstractContextManager[None]:
        """Read the shims' logs for a containerd that restarts: see `log_pipes`."""
        return log_pipes.heard(self._state)

    def close(self) -> None:
        """Drop the connection, so that the next call dials anew."""
        self._channel.close()

    def _names(self, *, timeout_s: float) -> dict[str, tuple[str, str]]:
        try:
            return cri.names(self._channel, timeout_s=timeout_s)
        except errors.CriError as error:
            if error.code != "UNIMPLEMENTED":
                raise
            return {}


def _container(task: tasks.Task, names: dict[str, tuple[str, str]]) -> ports.Container:
    known = names.get(task.id) if task.namespace == CRI_NAMESPACE else None
    name, sandbox = known or (task.id, "")
    return ports.Container(
        namespace=task.namespace,
        id=task.id,
        pid=task.pid,
        name=name,
        sandbox=sandbox,
        survives_restart=task.survives_restart,
    )
