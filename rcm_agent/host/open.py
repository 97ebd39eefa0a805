"""Opens all doors of one host. Nothing is dialled or imported before it is used."""

from __future__ import annotations

import threading

from rcm_agent import ports
from rcm_agent.host import containerd, dbus
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
    """Return the host whose file system is mounted at `root`.

    Sockets are paths as the host sees them. `stop` ends every wait once it is set.
    """
    kernel = RealKernel(root)
    base = root.rstrip("/")
    return ports.Host(
        kernel=kernel,
        systemd=RealSystemd(base + kernel.realpath(systemd_socket)),
        containerd=containerd.RealContainerd(base + kernel.realpath(socket)),
        machine=RealMachine(root, stop=stop),
    )
