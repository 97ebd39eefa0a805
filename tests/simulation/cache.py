"""What one controller knows of the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.simulation.cluster import KINDS, Change, Cluster


class Cache:
    """What one controller knows: as late as its watches are, and never going back.

    Three promises of the runtime are taken for granted here, and tested where it is: a process
    begins with a consistent list; its own writes are in its cache at once, also those whose reply
    was lost; who becomes the leader has seen everything that was written before.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.objects: dict[str, dict[str, Any]] = {k: dict(cluster.objects[k]) for k in KINDS}
        self.at = {kind: len(cluster.log[kind]) for kind in KINDS}
        self.lag = dict.fromkeys(KINDS, 0.0)
        self.seen: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}

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
        """See everything that was written until now."""
        lag, self.lag = self.lag, dict.fromkeys(KINDS, 0.0)
        self.catch_up()
        self.lag = lag
