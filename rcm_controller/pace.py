"""How often a Shim's status is written: news at once, counts now and then. Called by `loop`.

Every answer of every node changes a count; written each time, a rollout over 5,000 nodes would
cost thousands of writes that nobody reads.
"""

from __future__ import annotations

import msgspec

from rcm_api import shim_status
from rcm_controller import budget, clock

COUNTS_PER_S = 0.1
"""A person who watches sees a number move every ten seconds; a guess."""
COUNTS_AT_ONCE = 4
"""A small rollout is shown as it happens."""


class Pace:
    """Remembers when each Shim's counts were written."""

    def __init__(self, *, time: clock.Clock) -> None:
        """Remember nothing yet."""
        self._time = time
        self._counts: dict[str, budget.Budget] = {}
        self._granted: dict[str, shim_status.ShimStatus] = {}

    def may_write(
        self, shim: str, former: shim_status.ShimStatus, wanted: shim_status.ShimStatus
    ) -> bool:
        """Tell whether a status is worth a write now."""
        if self._granted.get(shim) == wanted:
            return True  # not carried out yet, or lost
        if _news(former) == _news(wanted) and self._bucket(shim).take() > 0:
            return False
        self._granted[shim] = wanted
        return True

    def keep(self, shims: frozenset[str]) -> None:
        """Forget all others."""
        self._counts = {name: b for name, b in self._counts.items() if name in shims}
        self._granted = {name: s for name, s in self._granted.items() if name in shims}

    def _bucket(self, shim: str) -> budget.Budget:
        made = budget.Budget(per_s=COUNTS_PER_S, burst=COUNTS_AT_ONCE, time=self._time)
        return self._counts.setdefault(shim, made)


def _news(status: shim_status.ShimStatus) -> object:
    """Return what is written at once: everything but counts and wording."""
    conditions = [(c.type, c.status, c.reason) for c in status.conditions]
    pinned = [msgspec.structs.replace(a, size=0) for a in status.artifacts]
    return status.observed_generation, pinned, status.canaries, conditions
