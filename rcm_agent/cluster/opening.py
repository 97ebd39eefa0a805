"""Opens this node's doors, once containerd is found behind one of them.

Called by `loop` through `run`, again each minute on a host that cannot be served.
"""

from __future__ import annotations

from rcm_agent import errors, look, ports, settings
from rcm_agent.distro import site
from rcm_agent.host import facts
from rcm_agent.host import open as doors
from rcm_api import noderuntime


class Opener:
    """One host, and what it is."""

    def __init__(self, chosen: settings.Settings) -> None:
        """Open nothing yet."""
        self._chosen = chosen
        self._plain: ports.Host | None = None
        self._facts: facts.Facts | None = None
        self._distribution = ""

    def open(self) -> tuple[ports.Host, site.Site]:
        """Find containerd, and return the host with its socket.

        Raises:
            UnsupportedHost: it is no host for us.
            HostError: systemd cannot be asked.
        """
        if self._plain is None:
            self._plain = doors.open_host(self._chosen.root)
            self._facts = facts.Facts(self._plain)
        clues = look.clues(self._plain, self._chosen)
        self._distribution = site.distribution(clues)
        where = site.locate(clues, self._chosen)
        look.require_reach(self._plain, where)
        host = doors.open_host(self._chosen.root, socket=where.socket)
        self._facts = facts.Facts(host)
        return host, where

    def facts(self, where: site.Site | None, strategy: str) -> noderuntime.Facts:
        """Return what the node is; what cannot be found out is empty."""
        if self._facts is None:
            return noderuntime.Facts()
        try:
            return self._facts.read(where, distribution=self._distribution, strategy=strategy)
        except errors.AgentError:
            return noderuntime.Facts()
