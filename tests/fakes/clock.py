"""Simulated time: moves only when somebody waits, and lets due things happen on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tests.fakes import faults

FOREVER_S = 10_000.0
"""No run of the agent takes this long: it waits for something that never comes."""


class Actor(Protocol):
    """Something that happens by itself."""

    def due(self) -> float | None:
        """When the next thing happens; None: nothing waits."""
        ...

    def happen(self) -> None:
        """Let it happen; the clock shows its time."""
        ...


@dataclass(slots=True)
class Clock:
    """Seconds since boot."""

    now: float = 60.0
    actors: list[Actor] = field(default_factory=list)

    def advance(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass, shorter when `until` becomes true; whether it did."""
        end = self.now + seconds
        if end > FOREVER_S:
            raise faults.UnexpectedCall(f"simulated time passes {FOREVER_S} s")
        while not until():
            due = [
                (at, n) for n, actor in enumerate(self.actors) if (at := actor.due()) is not None
            ]
            at, number = min(due, default=(end + 1, 0))
            if at > end:
                self.now = end
                return until()
            self.now = max(self.now, at)
            self.actors[number].happen()
        return True
