"""Looks at the host and returns snapshots; changes nothing.

Called by `commands` before it decides and by `transaction` when it must know what became of a
change.
"""

from __future__ import annotations

from collections.abc import Iterable

from rcm_agent import errors, plan, ports, settings
from rcm_agent.distro import site
from rcm_agent.host import files, system

STATUS_TIMEOUT_S = 5.0
"""CRI answers Status within milliseconds; five seconds allow for a loaded node."""


def clues(host: ports.Host, chosen: settings.Settings) -> site.Clues:
    """Gather what tells where containerd lives."""
    unit = host.systemd.unit(chosen.unit or site.DEFAULT_UNIT)
    return site.Clues(
        unit=unit,
        present=host.kernel.present(site.PROBED),
        os_id=system.os_id(host.kernel),
        active=host.systemd.active(tuple(site.UNITS)),
    )


def require_reach(host: ports.Host, where: site.Site) -> None:
    """Refuse a host of which a pod lacks what it must change or ask.

    Raises:
        UnsupportedHost: it lacks the configuration's directory, or the socket's.
    """
    for path, what in ((where.config, "configuration"), (where.socket, "socket")):
        if not host.kernel.within_reach(path):
            raise errors.UnsupportedHost(
                f"containerd's {what} {path} is in no directory that is mounted into this pod",
                advice="mount its directory into the agent's pod, at the same path",
            )


def observe(host: ports.Host, *, unit: str, handlers: Iterable[str]) -> plan.Observed:
    """Return the state of containerd and of the stable paths of `handlers`."""
    paths = sorted({settings.link(handler) for handler in handlers})
    return plan.Observed(
        boot_id=host.machine.boot_id(),
        unit=host.systemd.unit(unit),
        status=status(host),
        links={path: files.read_link(host.kernel, path) for path in paths},
    )


def status(host: ports.Host) -> ports.CriStatus | None:
    """Return what CRI says, None when it does not answer."""
    try:
        return host.containerd.status(timeout_s=STATUS_TIMEOUT_S)
    except errors.CriError:
        return None
