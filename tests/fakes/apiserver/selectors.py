"""Which objects a list or a watch asks for: label and field selectors as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.fakes.apiserver.answers import Unsupported, bad
from tests.fakes.apiserver.kinds import Kind

Matches = Callable[[Mapping[str, Any]], bool]
_FIELDS = ("metadata.name", "metadata.namespace")


def parse(kind: Kind, query: Mapping[str, str]) -> Matches | None:
    """Return a test of objects; None: all pass."""
    known = (*_FIELDS, *kind.fields)
    tests = [_label(part) for part in _parts(query.get("labelSelector", ""))]
    tests += [_field(part, known) for part in _parts(query.get("fieldSelector", ""))]
    if not tests:
        return None
    return lambda found: all(test(found) for test in tests)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _label(part: str) -> Matches:
    if "(" in part or " " in part:
        raise Unsupported(f"label selector {part!r}")
    key, value, equal = _split(part)
    if value is not None and equal:
        return lambda found: _labels(found).get(key) == value
    if value is not None:
        return lambda found: _labels(found).get(key) != value
    if key.startswith("!"):
        return lambda found: key[1:] not in _labels(found)
    return lambda found: key in _labels(found)


def _field(part: str, known: tuple[str, ...]) -> Matches:
    path, value, equal = _split(part)
    if path not in known or value is None:
        raise bad(f"field label not supported: {path}")
    keys = path.split(".")
    return lambda found: (_at(found, keys) == value) is equal


def _at(found: Any, keys: list[str]) -> str:
    for key in keys:
        found = found.get(key, "") if isinstance(found, Mapping) else ""
    return str(found)


def _split(part: str) -> tuple[str, str | None, bool]:
    for sign, equal in (("!=", False), ("==", True), ("=", True)):
        key, found, value = part.partition(sign)
        if found:
            return key, value, equal
    return part, None, True


def _labels(found: Mapping[str, Any]) -> Mapping[str, str]:
    return found["metadata"].get("labels") or {}
