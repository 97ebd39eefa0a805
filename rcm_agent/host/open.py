"""Opens all doors of one host. Nothing is dialled or imported before it is used."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rcm_agent import ports
from rcm_agent.host import containerd, dbus, pods
from rcm_agent.host.kernel import RealKernel
from rcm_agent.host.machine import RealMachine
from rcm_agent.host.systemd import RealSystemd


def open_host(
    root: str = "/",
    *,
    socket: str = containerd.SOCKET,
    systemd_socket: str = dbus.SOCKET,
    stop: threading.Event | None = None,
) -> ports.Host:
    """Return the host whose file system is mounted at `root`; in a pod, the host of that pod.

    Sockets are paths as the host sees them. `stop` ends every wait once it is set.

    Raises:
        UnsupportedHost: we are in a pod that lacks a directory of the host.
    """
    if root == "/" and pods.inside():
        return open_pod(pods.mounts(), socket=socket, stop=stop)
    kernel = RealKernel(root)
    base = root.rstrip("/")
    return ports.Host(
        kernel=kernel,
        systemd=RealSystemd(base + kernel.realpath(systemd_socket)),
        containerd=containerd.RealContainerd(base + kernel.realpath(socket)),
        machine=RealMachine(root, stop=stop),
    )


def open_pod(
    mounts: Sequence[str], *, socket: str, stop: threading.Event | None = None
) -> ports.Host:
    """Return the host of a pod that has `mounts` of it, each at its own path."""
    from rcm_agent.host import outside, pod_kernel, pod_machine  # noqa: PLC0415 - pods only

    systemd = RealSystemd(dbus.SOCKET)
    kernel = pod_kernel.PodKernel(outside.Outside(systemd), mounts)
    return ports.Host(
        kernel=kernel,
        systemd=systemd,
        containerd=containerd.RealContainerd(kernel.realpath(socket)),
        machine=pod_machine.PodMachine(systemd, RealMachine(stop=stop)),
    )
