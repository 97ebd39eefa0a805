"""When to plan next. Called by `loop` after each plan; keeps the times, and no clock.

Four wishes: at once when something changed and nothing happened for a while; never so often that
planning takes more than a small part of a core; but at once, too, when a person edited a Shim; and
in time when nothing changes but the clock (a soak ends, an answer is overdue).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from rcm_controller import world

PAUSE_S = 0.25
"""Between two plans. A person does not notice it, and a wave's answers come together."""
SHARE = 20
"""A plan may take 1/20 of the time: 20 ms for 5,000 nodes, so one each 0.4 s."""
MOST_PAUSE_S = 3.0
"""At 15,000 nodes a plan takes half a second; a wave need not wait ten for the next one."""
EDIT_PAUSE_S = 0.1
"""Before the plan for an edit, and at least as long as the last plan took: somebody who edits
without end gets half of a core and no more."""
TICK_S = 1.0
IDLE_TICK_S = 15.0
"""Without changes the pause doubles from TICK_S up to this. Backoffs and deadlines of minutes may
be noticed so late; the end of a soak is known and exact."""


class Rhythm:
    """The times of one controller's plans."""

    def __init__(self) -> None:
        """Plan at once."""
        self._after_edit = 0.0
        self._earliest = 0.0
        self._latest = 0.0
        self._quiet = 0

    def wait(self, now: float, *, changed: bool, edited: bool = False) -> float:
        """Return the seconds until the next plan, 0: now; `edited`: a person waits for it."""
        if edited:
            return max(0.0, self._after_edit - now)
        return max(0.0, (self._earliest if changed else max(self._earliest, self._latest)) - now)

    def hurry(self) -> None:
        """Plan at once: everything may be different."""
        self._after_edit = self._earliest = self._latest = 0.0

    def planned(self, began: float, ended: float, *, busy: bool, next_s: float | None) -> None:
        """Note a plan; `busy`: it had something to do, `next_s`: until a known deadline."""
        cost = ended - began
        self._quiet = 0 if busy else self._quiet + 1
        tick = min(IDLE_TICK_S, TICK_S * 2 ** min(self._quiet, 8))
        self._after_edit = ended + max(EDIT_PAUSE_S, cost)
        self._earliest = ended + min(MOST_PAUSE_S, max(PAUSE_S, SHARE * cost))
        self._latest = ended + (tick if next_s is None else min(tick, next_s))


def soak_ends(seen: world.World) -> float | None:
    """Return the seconds until the next soak ends, None: nothing soaks."""
    left = (end - seen.now for end in _ends(seen) if end > seen.now)
    soonest = min(left, default=None)
    return None if soonest is None else soonest / timedelta(seconds=1)


def _ends(seen: world.World) -> Iterable[datetime]:
    for shim in seen.shims.values():
        if shim.wanted is not None:
            soak = timedelta(seconds=shim.wanted.rollout.soak_seconds)
            yield from (canary.ready_at + soak for canary in shim.status.canaries)
