"""Our text in other people's files: it stands between two comment lines.

`compose` writes such a part, `find` sees it again, `cut` takes it out so that the rest is byte
for byte what it was. A part is one piece of text, so it does not matter what else changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rcm_agent.containerd import scan

BEGIN = "# BEGIN runtime-class-manager"
END = "# END runtime-class-manager"
UNDO = "to undo by hand, delete up to END and restart containerd"


@dataclass(frozen=True, slots=True)
class Mark:
    """A marked part of a text."""

    start: int
    """What to cut begins here: at a line, or in the middle of one inside an array."""
    end: int
    begin_comment: tuple[int, int]
    end_comment: tuple[int, int]


def compose(what: str, lines: Sequence[str], *, newline: str, indent: str = "") -> str:
    """Write a marked part, without a line end after it."""
    every = (f"{BEGIN}: {what}; {UNDO}", *lines, END)
    return newline.join(indent + line for line in every)


def find(text: str) -> tuple[Mark, ...]:
    """Return the marked parts in order; a BEGIN without its END is none."""
    if BEGIN not in text:  # a hint only: comments are told from strings below
        return ()
    found: list[Mark] = []
    begin: tuple[int, int] | None = None
    for comment in scan.scan(text).comments:
        if text.startswith(BEGIN, comment[0]):
            begin = comment
        elif begin is not None and text.startswith(END, comment[0]):
            found.append(_extent(text, begin, comment))
            begin = None
    return tuple(found)


def cut(text: str, mark: Mark) -> str:
    """Take a marked part out."""
    return text[: mark.start] + text[mark.end :]


def append(text: str, part: str, *, at: int, newline: str) -> str:
    """Put a marked part of whole lines at `at`, a line's beginning or the end of the text.

    Where the text ends without a line end, the part brings one along and has none after it:
    that is how `find` knows that the line end before it is ours.
    """
    head = text[:at]
    if at == len(text) and head not in {"", scan.BOM} and not head.endswith("\n"):
        return head + newline + part
    return head + part + newline + text[at:]


def _extent(text: str, begin: tuple[int, int], end: tuple[int, int]) -> Mark:
    start = scan.line_start(text, begin[0])
    if text[start : begin[0]].strip(" \t"):
        start = begin[0] - 1  # in the middle of a line, after a blank of ours
    stop = text.find("\n", end[1]) + 1
    if stop == 0:
        stop = len(text)
        start -= len(_newline_before(text, start))
    return Mark(start, stop, begin, end)


def _newline_before(text: str, at: int) -> str:
    if text.endswith("\r\n", 0, at):
        return "\r\n"
    return "\n" if text.endswith("\n", 0, at) else ""


def what(text: str, mark: Mark) -> str:
    """Return what `compose` was told of a part."""
    begin, end = mark.begin_comment
    return text[begin + len(BEGIN) : end].removeprefix(": ").partition(";")[0]
