"""Looks at the host: what is there, beside what the journal says. Changes nothing.

Called by `loop` at each turn, with the lock held. A look costs some milliseconds: no program is
run, and a shim's bytes are read again only when its file looks otherwise, or after ten minutes.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rcm_agent import errors, fetch, gate, plan, ports, records, remove
from rcm_agent.cluster import settings
from rcm_agent.host import files
from rcm_agent.work import Work


@dataclass(frozen=True, slots=True)
class Sight:
    """One look."""

    observed: plan.Observed
    stored: frozenset[str]
    """Artifacts in the store."""
    users: Mapping[str, int]
    """What runs by handler of ours."""
    tree: str
    """Fingerprint of containerd's configuration; empty: it cannot be read."""
    changed: tuple[str, ...]
    """Files of containerd's configuration that are not as we left them."""
    damaged: frozenset[str]
    """Installed Shims whose binary is missing or not the one that was checked."""

    @property
    def handlers(self) -> frozenset[str] | None:
        """Those that containerd has loaded; None: it does not say."""
        return self.observed.status.handlers if self.observed.status else None


class Eyes:
    """Remembers when a shim's bytes were read."""

    def __init__(self) -> None:
        """Begin with none."""
        self._read: dict[str, tuple[ports.Stat | None, float]] = {}

    def look(self, work: Work, *, leaving: frozenset[str] = frozenset()) -> Sight:
        """Look; for the handlers in `leaving` containers outside of CRI count too.

        Raises:
            HostError: systemd or the file system does not answer.
        """
        observed = work.observe()
        return Sight(
            observed=observed,
            stored=fetch.stored(work),
            users={} if observed.status is None else _users(work, leaving),
            tree=_tree(work),
            changed=tuple(_changed(work)),
            damaged=frozenset(s.name for s in work.current.shims if not self._intact(work, s)),
        )

    def _intact(self, work: Work, shim: records.Installed) -> bool:
        found, now = work.host.kernel.lstat(shim.path), work.host.machine.uptime_s()
        known = self._read.get(shim.path)
        if known is not None and known[0] == found and now - known[1] < settings.HASH_S:
            return True
        if not fetch.intact(work, shim):
            self._read.pop(shim.path, None)
            return False
        self._read[shim.path] = (found, now)
        return True


def _users(work: Work, leaving: frozenset[str]) -> dict[str, int]:
    """Count running sandboxes; a containerd that went away meanwhile counts as one that is used."""
    ours = work.current.handlers
    if not ours:
        return {}
    try:
        sandboxes = work.host.containerd.sandboxes(timeout_s=gate.ASK_TIMEOUT_S)
        found = collections.Counter(s.handler for s in sandboxes if s.ready and s.handler in ours)
        for handler in leaving & ours:
            others = remove.users_of(work.host, frozenset({handler}))
            found[handler] = max(found[handler], len({c.sandbox or c.id for c in others}))
    except errors.CriError:
        return dict.fromkeys(ours, 1)
    return dict(found)


def _tree(work: Work) -> str:
    if not work.current.shims:
        return ""
    try:
        return plan.fingerprint(work.tree(work.current.containerd))
    except errors.AgentError:
        return ""


def _changed(work: Work) -> Iterable[str]:
    for owned in work.current.owned:
        try:
            found = files.digest(files.read(work.host.kernel, owned.path))
        except errors.HostError:
            found = ""
        if found != owned.ours:
            yield owned.path
