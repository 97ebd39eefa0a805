"""What a node is, for the status that its agent reports.

Called by the agent in a cluster at each look; the host is asked only after a boot or a new start
of containerd, as nothing else changes the answer.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field

import msgspec

from rcm_agent import errors, ports
from rcm_agent.containerd import toml
from rcm_agent.distro import site
from rcm_agent.host import files, system
from rcm_api import noderuntime, version

STATUS_TIMEOUT_S = 5.0
"""As in `look`."""
_WRITTEN_WITHOUT_VERSION = 1
"""containerd's own rule: a file that names no version is of the first."""


@dataclass(slots=True)
class Facts:
    """One node's facts, remembered for as long as boot and containerd are the same."""

    host: ports.Host
    _known: noderuntime.Facts | None = None
    _of: tuple[object, ...] = field(default=())

    def read(
        self, where: site.Site | None, *, distribution: str = "", strategy: str = ""
    ) -> noderuntime.Facts:
        """Return the facts; what cannot be found out is empty.

        Args:
            where: containerd on this host; None on a host that cannot be served.
            distribution: k3s, rke2 and such (`site.distribution`); empty: as os-release says.
            strategy: how the configuration is edited, as the journal has it.

        Raises:
            UnitError: systemd does not answer.
            HostError: the boot has no id.
        """
        boot_id = self.host.machine.boot_id()
        unit = self.host.systemd.unit(where.unit) if where else None
        of = (boot_id, where, unit.started_us if unit else 0, distribution)
        if self._known is None or self._of != of or (where and not self._known.containerd):
            self._known, self._of = _read(self.host, where, distribution), of
        return msgspec.structs.replace(self._known, boot_id=boot_id, strategy=strategy)


def _read(host: ports.Host, where: site.Site | None, distribution: str) -> noderuntime.Facts:
    return noderuntime.Facts(
        os="linux",
        arch=host.machine.architecture(),
        distribution=distribution or system.os_id(host.kernel),
        containerd=_containerd(host) if where else "",
        schema=_schema(host.kernel, where.config) if where else 0,
        machine_id=system.machine_id(host.kernel),
        agent=version.VERSION,
    )


def _containerd(host: ports.Host) -> str:
    try:
        return host.containerd.status(timeout_s=STATUS_TIMEOUT_S).runtime_version.removeprefix("v")
    except errors.CriError:
        return ""


def _schema(kernel: ports.Kernel, config: str) -> int:
    """Return the version of the file on disk; 0 when there is none, or none that can be read."""
    try:
        data = files.read(kernel, config)
        found = toml.parse(data) if data is not None else {"version": 0}
    except (errors.HostError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError):
        return 0
    schema = found.get("version", _WRITTEN_WITHOUT_VERSION)
    return schema if isinstance(schema, int) else 0
