"""Figures with their bars: what a measurement returns, as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

Figure = dict[str, Any]


def seconds(runs: Sequence[float], *, bar: float | None = None) -> Figure:
    """Return the median of some runs, and whether it keeps within `bar`."""
    found = {
        "median_s": round(statistics.median(runs), 4),
        "min_s": round(min(runs), 4),
        "max_s": round(max(runs), 4),
        "runs": len(runs),
    }
    if bar is None:
        return found
    return found | {"bar_s": bar, "met": found["median_s"] <= bar}


def judged(value: float, *, bar: float, **more: object) -> Figure:
    """Return one value beside its bar."""
    return {"value": value, "bar": bar, "met": value <= bar, **more}


def missed(document: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Name the figures that are over their bars."""
    if not isinstance(document, dict):
        return
    if document.get("met") is False:
        yield ".".join(path)
    for key, value in document.items():
        yield from missed(value, (*path, key))
