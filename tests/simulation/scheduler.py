"""A heap of what happens when, in simulated time, and the one source of chance."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable

from tests.simulation.cluster import Cluster

TRACE = 120
"""Last things that happened, told with a failure; enough to see a wave."""


class Scheduler:
    """Calls what is due, in order of time; equal times in the order of asking."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster = cluster
        self.random = random.Random(seed)  # noqa: S311 - a replay, not a secret
        self.heap: list[tuple[float, int, Callable[[], None]]] = []
        self.count = itertools.count()
        self.trace: deque[tuple[float, str, object]] = deque(maxlen=TRACE)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Have something called later."""
        heapq.heappush(self.heap, (self.cluster.now + seconds, next(self.count), call))

    def run(self, until: float) -> None:
        """Let time pass."""
        while self.heap and self.heap[0][0] <= until:
            self.cluster.now, _, call = heapq.heappop(self.heap)
            call()
        self.cluster.now = until

    def chance(self, probability: float) -> bool:
        """Draw yes or no."""
        return probability > 0 and self.random.random() < probability

    def tell(self, who: str, what: object) -> None:
        """Remember what happened, for the case that something breaks."""
        self.trace.append((self.cluster.now, who, what))
