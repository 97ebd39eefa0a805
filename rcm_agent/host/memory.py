"""The agent's memory on the host: journal, saved file contents, restarts of this boot.

Called by `transaction` and `commands`. Contents are kept by their SHA-256 with mode 0600, because
a containerd configuration may hold registry credentials.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rcm_agent import errors, journal, ports, records, settings
from rcm_agent.host import files


class Memory:
    """Reads once, writes on change."""

    def __init__(self, kernel: ports.Kernel) -> None:
        """Read the journal.

        Raises:
            HostError: it is there and cannot be used.
        """
        self._kernel = kernel
        self._seen = files.read(kernel, settings.JOURNAL)
        self.journal = journal.decode(self._seen)

    def write(self, new: records.Journal) -> None:
        """Make `new` the journal, durably; an empty one removes the file.

        Raises:
            HostError: that failed; `journal` is what the file says now, which may be `new`.
        """
        data = None if new == records.Journal() else journal.encode(new)
        try:
            self._put(data)
        except errors.HostError:
            self._seen = files.read(self._kernel, settings.JOURNAL)
            self.journal = journal.decode(self._seen)
            raise
        self._seen, self.journal = data, new

    def _put(self, data: bytes | None) -> None:
        if data is None:
            files.remove(self._kernel, settings.JOURNAL)
            return
        files.make_directory(self._kernel, settings.HOME)
        files.replace(self._kernel, settings.JOURNAL, data, expected=self._seen, mode=0o600)

    def save(self, data: bytes | None) -> str:
        """Keep a file's content and return its SHA-256; nothing to keep of a missing file."""
        sha = files.digest(data)
        if data is not None and self.load(sha) is None:
            files.make_directory(self._kernel, settings.BACKUP, mode=0o700)
            path = f"{settings.BACKUP}/{sha}"
            damaged = files.read(self._kernel, path)
            files.replace(self._kernel, path, data, expected=damaged, mode=0o600)
        return sha

    def load(self, sha: str) -> bytes | None:
        """Return a kept content, None when it is not there or damaged."""
        if not sha:
            return None
        data = files.read(self._kernel, f"{settings.BACKUP}/{sha}")
        return data if files.digest(data) == sha else None

    def content(self, sha: str) -> bytes | None:
        """Return the content that a record names; None stands for no file.

        Raises:
            HostError: the content is lost.
        """
        data = self.load(sha)
        if sha and data is None:
            raise errors.HostError(
                f"the saved content {settings.BACKUP}/{sha} is missing or damaged",
                advice="restore containerd's configuration by hand, see 'Undo by hand' in the README",
            )
        return data

    def forget(self, *, keep: Iterable[str]) -> None:
        """Drop saved contents that nothing refers to, and directories that became empty."""
        kept = set(keep)
        if self._kernel.lstat(settings.BACKUP) is not None:
            for name in self._kernel.listdir(settings.BACKUP):
                if name not in kept:
                    files.remove(self._kernel, f"{settings.BACKUP}/{name}")
        for path in (settings.BACKUP, settings.BIN):
            files.remove_directory(self._kernel, path)

    def restarts(self, *, boot_id: str, uptime_s: float) -> tuple[float, ...]:
        """Return when, in seconds since boot, this boot's recent restarts were."""
        data = files.read(self._kernel, settings.RESTARTS)
        try:
            found: dict[str, Any] = json.loads(data or b"{}")
            times: list[Any] = found["times"] if found.get("boot") == boot_id else []
            recent = [float(t) for t in times]
        except (ValueError, KeyError, TypeError, AttributeError):
            recent = []
        return tuple(t for t in recent if uptime_s - t < settings.RESTART_WINDOW_S)

    def count_restart(self, *, boot_id: str, uptime_s: float) -> None:
        """Remember a restart that is about to happen."""
        times = [*self.restarts(boot_id=boot_id, uptime_s=uptime_s), uptime_s]
        old = files.read(self._kernel, settings.RESTARTS)
        files.make_directory(self._kernel, settings.RUN)
        data = json.dumps({"boot": boot_id, "times": times}).encode()
        files.replace(self._kernel, settings.RESTARTS, data, expected=old, mode=0o600)


def referenced(generation: records.Generation) -> frozenset[str]:
    """Return the contents that a generation still needs."""
    owned = generation.owned
    return frozenset(sha for o in owned for sha in (o.original, o.ours) if sha)
