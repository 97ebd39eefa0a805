"""When to ask a server again. Pure: chance is an argument.

Called by `download` after an attempt that broke off.
"""

from __future__ import annotations

import email.utils
from collections.abc import Mapping

FIRST_PAUSE_S = 0.5
"""Doubled each time. A guess: a restarting proxy is back within seconds."""
LONGEST_PAUSE_S = 30.0
"""A guess; servers that want more say so."""
_DOUBLINGS = 16
"""More would not fit a float one day; the longest pause is reached by the sixth."""


def pause_s(failures: int, *, jitter: float, asked_s: float | None) -> float:
    """Return how long to wait after `failures` attempts in a row.

    At least half of the step, so that fifteen thousand nodes that failed together come back
    apart; never less than what the server asked for.
    """
    step = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures - 1, _DOUBLINGS))
    return max(step * (0.5 + jitter / 2), asked_s or 0.0)


def asked_s(headers: Mapping[str, str]) -> float | None:
    """Return what a Retry-After header asks for, None when it is missing or unreadable.

    A date is taken against the server's own Date header: our clock may be wrong.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        then = email.utils.parsedate_to_datetime(text)
        now = email.utils.parsedate_to_datetime(headers.get("Date", ""))
        return max(0.0, (then - now).total_seconds())
    except (ValueError, TypeError):
        return None
