"""What one controller knows of the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.simulation.cluster import KINDS, Change, Cluster


class Cache:
    """What one controller knows: as late as its watches are, and never going back.

    Two promises of the runtime are taken for granted here, and tested where it is: its own writes
    are in its cache at once, also those whose reply was lost; who becomes the leader has seen all
    but Nodes that was written before.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.objects: dict[str, dict[str, Any]] = {k: {} for k in KINDS}
        self.at = dict.fromkeys(KINDS, 0)
        self.lag = dict.fromkeys(KINDS, 0.0)
        self.seen: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}

    def list_anew(self, kind: str, stale_s: float) -> None:
        """Take a list in place of everything, as it was that long ago; the watch goes on there."""
        self.objects[kind], self.seen[kind], self.at[kind] = {}, {}, 0
        lag, self.lag[kind] = self.lag[kind], stale_s
        for change in self._news(kind):
            self.take(kind, change)
        self.lag[kind] = lag

    def catch_up(self) -> bool:
        """Take in what the watches have brought; tell whether there was anything."""
        changed = False
        for kind in KINDS:
            for change in self._news(kind):
                changed |= self.take(kind, change)
        return changed

    def is_behind(self) -> bool:
        """Tell whether something is on its way."""
        return any(self.at[kind] < len(self.cluster.log[kind]) for kind in KINDS)

    def _news(self, kind: str) -> Iterator[Change]:
        log, until = self.cluster.log[kind], self.cluster.now - self.lag[kind]
        while self.at[kind] < len(log) and log[self.at[kind]].time <= until:
            self.at[kind] += 1
            yield log[self.at[kind] - 1]

    def take(self, kind: str, change: Change) -> bool:
        """Keep an object unless a newer one is known."""
        if change.revision <= self.seen[kind].get(change.name, 0):
            return False
        self.seen[kind][change.name] = change.revision
        if change.object is None:
            self.objects[kind].pop(change.name, None)
        else:
            self.objects[kind][change.name] = change.object
        return True

    def hurry(self) -> None:
        """List all but Nodes beside the watch, as `Controller` does when a term begins."""
        for kind in ("shims", "runtimes", "classes"):
            for change in self._newest(kind):
                self.take(kind, change)

    def _newest(self, kind: str) -> list[Change]:
        return self.cluster.log[kind][self.at[kind] :]
