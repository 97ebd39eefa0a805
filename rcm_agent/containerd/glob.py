"""Go's `path/filepath.Match`: the pattern language of containerd's `imports`.

`*` matches dot files, unlike a shell's. A pattern is only expanded when it holds a `*`; without
one it is a file name, whatever else is in it.
"""

from __future__ import annotations

import functools
import re

from rcm_agent import errors


def is_pattern(text: str) -> bool:
    """Tell whether containerd expands this import."""
    return "*" in text


def matches(pattern: str, path: str) -> bool:
    """Tell whether a path matches a pattern, each part on its own.

    Raises:
        ConfigRefused: the pattern is malformed; containerd does not start with it.
    """
    return _compile(pattern).fullmatch(path) is not None


def order(path: str) -> tuple[str, ...]:
    """Return the key that sorts matches as filepath.Glob does: directory by directory."""
    return tuple(path.split("/"))


@functools.lru_cache(maxsize=256)
def _compile(pattern: str) -> re.Pattern[str]:
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "[":
            text, at = _class(pattern, at)
            out.append(text)
            continue
        if char == "\\":
            at += 1
            char = _at(pattern, at)
            out.append(re.escape(char))
        else:
            out.append({"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char)))
        at += 1
    return re.compile("".join(out), re.DOTALL)


def _class(pattern: str, at: int) -> tuple[str, int]:
    """Translate a character class that begins at `at`; its text and where it ends."""
    negated = _at(pattern, at + 1) == "^"
    at += 1 + negated
    ranges: list[str] = []
    while not ranges or _at(pattern, at) != "]":
        low, at = _member(pattern, at)
        high = low
        if _at(pattern, at) == "-":
            high, at = _member(pattern, at + 1)
        if low <= high:  # an empty range matches nothing, in Go too
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        elif not ranges:
            ranges.append("")
    inner = "".join(ranges)
    if not inner:
        return ("[^/]" if negated else "(?!)"), at + 1
    return (f"(?!/)[^{inner}]" if negated else f"(?!/)[{inner}]"), at + 1


def _member(pattern: str, at: int) -> tuple[str, int]:
    char = _at(pattern, at)
    if char in "-]":
        raise _bad(pattern)
    if char == "\\":
        at += 1
        char = _at(pattern, at)
    return char, at + 1


def _at(pattern: str, at: int) -> str:
    if at >= len(pattern):
        raise _bad(pattern)
    return pattern[at]


def _bad(pattern: str) -> errors.ConfigRefused:
    return errors.ConfigRefused(
        f"the import pattern {errors.clip(pattern)!r} is malformed",
        advice="correct it in containerd's configuration: containerd does not start with it",
    )
