"""How long a download may take: in total, and with too little coming.

Made by `download` once per fetch; `dial` asks before every read of a socket. Without it a server
that sends one byte a second would hold the agent for as long as it likes, because every single
read ends in time.
"""

from __future__ import annotations

from rcm_agent.host import terms

MIN_BYTES_PER_S = 1024
"""Slower than this over a whole `stall_s` is a stall. A guess: 100 MB would take 28 hours."""


class Limits:
    """How long reading may take, in total and with too little coming."""

    def __init__(self, policy: terms.Policy, timing: terms.Timing) -> None:
        """Start the total deadline now."""
        self._clock = timing.clock
        self._end = timing.clock() + policy.deadline_s
        self._stall_s = policy.stall_s
        self.connect_s = policy.connect_s
        self._since = timing.clock()
        self._bytes = 0

    def remaining_s(self) -> float:
        """Return what is left of the deadline; never negative."""
        return max(0.0, self._end - self._clock())

    def reset(self) -> None:
        """Begin a new window: a new connection has brought nothing yet."""
        self._since, self._bytes = self._clock(), 0

    def next_timeout_s(self) -> float:
        """Return how long the next read may block.

        Raises:
            TimeoutError: the deadline is over, or the window ended with too little in it.
        """
        now = self._clock()
        if now - self._since >= self._stall_s:
            if self._bytes < self._stall_s * MIN_BYTES_PER_S:
                raise TimeoutError(f"fewer than {MIN_BYTES_PER_S} bytes/s for {self._stall_s:g} s")
            self.reset()
        left = min(self._end - now, self._since + self._stall_s - now)
        if left <= 0:
            raise TimeoutError("the deadline is over")
        return left

    def note(self, count: int) -> None:
        """Count bytes that came."""
        self._bytes += count
