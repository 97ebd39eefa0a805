"""Whether we run in a pod, and what of the host the pod has.

Called by `open`. A pod of ours mounts directories of the host at their own paths; which ones it
really has is read from the kernel, so that a manifest that lacks one is told, not met half way.
"""

from __future__ import annotations

import os
from pathlib import Path

from rcm_agent import errors, settings
from rcm_agent.host import dbus

TOKENS = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Kubernetes puts a pod's own credentials here; no host has such a directory."""

NEEDED = (settings.HOME, settings.RUN, dbus.SOCKET)

_TABLE = "/proc/self/mountinfo"
_ROOT, _POINT = 3, 4
"""Fields of proc(5) mountinfo: the mounted directory in its file system, and where it is."""
_OWN = (
    "/proc",
    "/sys",
    "/dev",
    "/tmp",  # noqa: S108 - a mount point, nothing is written
    "/run/secrets",
    "/var/run/secrets",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
)
"""Mounted into any pod: not the host's."""
_VOLUME = "/volumes/kubernetes.io~"
"""In the root of what kubelet made for the pod: an emptyDir, a ConfigMap."""


def inside() -> bool:
    """Tell whether this process runs in a pod."""
    return os.path.isdir(TOKENS)  # noqa: PTH112 - one call


def mounts() -> tuple[str, ...]:
    """Return what of the host is mounted here.

    Raises:
        UnsupportedHost: something is missing without which nothing works.
        HostError: the kernel does not tell.
    """
    try:
        table = Path(_TABLE).read_text(encoding="utf-8")
    except OSError as error:
        raise errors.HostError(f"cannot read {_TABLE}", advice="mount /proc in the pod") from error
    found = points(table)
    missing = [path for path in NEEDED if path not in found]
    if missing:
        raise errors.UnsupportedHost(
            f"the pod has not mounted {', '.join(missing)} of the host",
            advice="use the DaemonSet of this project's manifests; it mounts what is needed",
        )
    return found


def points(table: str) -> tuple[str, ...]:
    """Return the mount points in a mountinfo table that are the host's; none is below another."""
    rows = (line.split() for line in table.splitlines())
    found: list[str] = []
    for point in sorted({_plain(row[_POINT]) for row in rows if _is_hosts(row)}, key=_parts):
        if not (found and point.startswith(f"{found[-1]}/")):
            found.append(point)
    return tuple(found)


def _parts(point: str) -> list[str]:
    return point.split("/")


def _is_hosts(row: list[str]) -> bool:
    point, kind = row[_POINT], row[row.index("-") + 1]
    own = point == "/" or any(point == own or point.startswith(f"{own}/") for own in _OWN)
    in_memory = kind == "tmpfs" and row[_ROOT] == "/"  # a Secret, or an emptyDir of that kind
    return not (own or in_memory or _VOLUME in row[_ROOT])


def _plain(point: str) -> str:
    r"""Return a mount point without the table's escapes, `\040` for a space."""
    return point.encode().decode("unicode_escape")
