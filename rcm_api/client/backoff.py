"""How long to wait after the n-th failure in a row. Pure: randomness is an argument."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Random = Callable[[], float]
"""Returns a number in [0, 1), as `random.random`."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential with full jitter: many clients that lost one server do not come back at once."""

    base_s: float = 0.8
    """As client-go's reflector."""
    cap_s: float = 30.0
    """As client-go's reflector."""

    def after(self, failures: int, *, random: Random, wish_s: float | None = None) -> float:
        """Return a pause after `failures` in a row, at least the server's wish (Retry-After).

        What is added to a wish is random too: the server said the same to everybody.
        """
        if failures <= 0:
            return wish_s or 0.0
        doublings = min(failures - 1, _MAX_DOUBLINGS)
        jitter = random() * min(self.cap_s, self.base_s * 2.0**doublings)
        return jitter + (wish_s or 0.0)


_MAX_DOUBLINGS = 32
"""Far above any cap, and no large numbers."""
