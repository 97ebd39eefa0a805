"""Changes to a file as a person reads them."""

from __future__ import annotations

import difflib


def unified(path: str, before: bytes | None, after: bytes | None) -> str:
    """Return a unified diff, empty when nothing differs; None is a file that is not there.

    A carriage return is shown as `␍`, so that a changed line end does not look like nothing.
    """
    if before == after:
        return ""
    old, new = _lines(before), _lines(after)
    out = difflib.unified_diff(
        old,
        new,
        fromfile="/dev/null" if before is None else path,
        tofile="/dev/null" if after is None else path,
    )
    return "".join(line if line.endswith("\n") else f"{line}\n{_NO_END}\n" for line in out)


_NO_END = "\\ No newline at end of file"


def _lines(data: bytes | None) -> list[str]:
    text = (data or b"").decode("utf-8", "replace")
    lines = text.split("\n")
    return [line.replace("\r", "␍") + "\n" for line in lines[:-1]] + [x for x in lines[-1:] if x]
