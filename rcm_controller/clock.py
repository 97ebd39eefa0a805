"""Time as the controller sees it. An argument everywhere, so that tests and the simulation own it.

Two kinds: the wall clock goes into objects, for people and for deadlines that outlive us; the
monotonic one measures spans, and nothing else may decide whether a lease still holds.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """Return the time of day, UTC and aware."""
        ...

    def monotonic(self) -> float:
        """Return seconds from a fixed point, which never go back."""
        ...


class SystemClock:
    """The machine's."""

    def now(self) -> datetime:
        """Return the time of day."""
        return datetime.now(UTC)  # noqa: TID251 - the one door

    def monotonic(self) -> float:
        """Return seconds since boot, with those that the machine slept."""
        return time.clock_gettime(_CLOCK)


# A laptop or a virtual machine that slept for a minute has lost its lease; CLOCK_MONOTONIC stands
# still meanwhile, and only Linux has the other one.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
