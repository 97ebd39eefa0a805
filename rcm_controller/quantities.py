"""Amounts of resources, compared by what they mean: an API server writes 0.25 as 250m. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

_FORM = re.compile(r"([0-9.]+)([a-zA-Z]i?|)|([0-9.]+[eE][+-]?[0-9]+)", re.ASCII)
_BINARY = {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)}
_DECIMAL = {
    letter: Decimal(10) ** power
    for letter, power in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True)
}
_UNITS = {"": Decimal(1), **_BINARY, **_DECIMAL}
_FINEST = Decimal("1e-9")
"""An API server rounds up to whole nanos (resource.Quantity of apimachinery)."""


def same(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Tell whether two overheads, `{podFixed: {resource: quantity}}`, cost a pod the same."""
    return found == wanted or _values(found) == _values(wanted)


def value(quantity: object) -> Decimal | None:
    """Return a quantity in its resource's own unit, None when it is none."""
    known = _FORM.fullmatch(str(quantity))
    if known is None or (known[2] or "") not in _UNITS:
        return None
    number = Decimal(known[3]) if known[3] else Decimal(known[1]) * _UNITS[known[2]]
    return number.quantize(_FINEST, rounding=ROUND_CEILING)


def _values(overhead: Mapping[str, Any]) -> dict[str, Decimal | None]:
    fixed: Mapping[str, Any] = overhead.get("podFixed") or {}
    return {resource: value(quantity) for resource, quantity in fixed.items()}
