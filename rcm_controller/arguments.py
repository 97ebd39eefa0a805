"""Texts of flags and variables, turned into what they mean. Pure.

Called by argparse for `cli` and `wait_clean`; each says what to write instead of a bad one.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import timedelta

MOST_WRITES_PER_S = 10_000.0
LEAST_WRITES_PER_S = 0.1
MOST_ATTEMPTS = 100
_SPAN = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)(s|m|h|)", re.ASCII)
_UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours"}
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
_MOST_PORTS = 65535


def choice(*words: str) -> Callable[[str], str]:
    """Return a check for one of a few words; `choices` would not look at a variable's."""

    def check(text: str) -> str:
        if text not in words:
            raise argparse.ArgumentTypeError(f"{text[:64]!r}: write one of: {', '.join(words)}")
        return text

    return check


def rate(text: str) -> float:
    """Return a number of writes per second."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not LEAST_WRITES_PER_S <= found <= MOST_WRITES_PER_S:
        raise argparse.ArgumentTypeError(
            f"{text[:64]!r}: write a number from {LEAST_WRITES_PER_S:g} to {MOST_WRITES_PER_S:g}"
        )
    return found


def attempts(text: str) -> int:
    """Return a number of tries."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MOST_ATTEMPTS):
        raise argparse.ArgumentTypeError(
            f"{text[:64]!r}: write a whole number from 1 to {MOST_ATTEMPTS}"
        )
    return int(text)


def span(text: str) -> timedelta:
    """Return a length of time, for example of `90s`."""
    match = _SPAN.fullmatch(text)
    if match is None or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text[:64]!r}: write for example 90s, 10m or 1h")
    return timedelta(**{_UNITS[match[2]]: float(match[1])})


def spelled(value: timedelta) -> str:
    """Return the text that `span` reads."""
    minutes, seconds = divmod(value, timedelta(minutes=1))
    return f"{value.total_seconds():g}s" if seconds else f"{minutes}m"


def name(text: str) -> str:
    """Return the name of an object, or nothing."""
    if text and not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text[:64]!r} is no name of a Kubernetes object")
    return text


def address(text: str) -> tuple[str, int]:
    """Return host and port."""
    host, colon, port = text.rpartition(":")
    good = port.isascii() and port.isdecimal() and int(port[:9]) <= _MOST_PORTS
    if not (colon and good):
        raise argparse.ArgumentTypeError(f"{text[:64]!r}: write HOST:PORT, or :PORT for all hosts")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - asked for
