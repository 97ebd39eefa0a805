"""The write budget: at most so many writes a second, whatever there is to do.

A token bucket. `apply` takes one token before each write; when the API server says that it has had
enough (429), the bucket closes for everybody. Keeps no clock of its own.
"""

from __future__ import annotations

import threading

from rcm_controller import clock


class Budget:
    """Tokens that come back at a fixed rate."""

    def __init__(self, *, per_s: float, time: clock.Clock, burst: float | None = None) -> None:
        """Start full; `burst` tokens can be saved up, one second's worth by default."""
        self._per_s = per_s
        self._most = max(per_s, 1.0) if burst is None else burst
        self._time = time
        self._lock = threading.Lock()
        self._tokens = self._most
        self._at = time.monotonic()
        self._closed_until = 0.0

    def take(self) -> float:
        """Take a token and return 0, or take none and return the seconds until there is one."""
        with self._lock:
            now = self._refill()
            if now < self._closed_until:
                return self._closed_until - now
            if self._tokens < 1.0:
                return (1.0 - self._tokens) / self._per_s
            self._tokens -= 1.0
            return 0.0

    def close(self, seconds: float) -> None:
        """Let nothing pass for so long: the API server asked for it."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._refill() + seconds)

    def tokens(self) -> float:
        """Return how many writes could be made at once."""
        with self._lock:
            self._refill()
            return self._tokens

    def _refill(self) -> float:
        now = self._time.monotonic()
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        return now
