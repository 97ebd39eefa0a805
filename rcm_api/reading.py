"""Reading values by the description of their fields, or saying what is wrong with them.

Called by `shim`. Takes what JSON or YAML decoded to; returns it without nulls. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never, cast

from rcm_api.fields import (
    MAX_WHOLE,
    Amount,
    Choice,
    Flag,
    InvalidShim,
    Kind,
    List,
    Map,
    Record,
    Text,
    Together,
    Whole,
)


def read(kind: Kind, value: object, path: str) -> Any:
    """Return the value without its nulls.

    Raises:
        InvalidShim: it is not of that kind.
    """
    match kind:
        case Text():
            return _text(kind, value, path)
        case Choice():
            return _choice(kind, value, path)
        case Flag():
            return _flag(value, path)
        case Whole():
            return _whole(kind, value, path)
        case Amount():
            return _amount(kind, value, path)
        case Map():
            return _map(kind, value, path)
        case List():
            return _list(kind, value, path)
        case Record():
            return _record(kind, value, path)
        case _:
            assert_never(kind)


def mapping(value: object, path: str) -> Mapping[str, Any]:
    """Return a mapping with string keys."""
    if not isinstance(value, Mapping):
        raise _wrong_type(value, path, "a mapping", "write key: value pairs below it")
    found = cast("Mapping[object, Any]", value)
    if not all(isinstance(key, str) for key in found):
        raise InvalidShim(path, "has a key that is not a string", "put the key in quotes")
    return cast("Mapping[str, Any]", found)


def known(found: Mapping[str, Any], path: str, allowed: tuple[str, ...]) -> None:
    """Refuse keys that mean nothing, which are typing errors more often than wishes."""
    for key in found:
        if key not in allowed:
            where = f"{path}.{key}" if path else key
            raise InvalidShim(
                where[:200], "is not a known field", f"known are: {', '.join(allowed)}"
            )


def _wrong_type(value: object, path: str, wanted: str, advice: str) -> InvalidShim:
    if value is None:
        return InvalidShim(path, "is missing", advice)
    return InvalidShim(path, f"is a {type(value).__name__}, not {wanted}", advice)


def _text(kind: Text, value: object, path: str) -> str:
    if not isinstance(value, str):
        raise _wrong_type(value, path, "a string", "write a string, in quotes if in doubt")
    if len(value) > kind.limit:
        raise InvalidShim(path, f"has {len(value)} characters", f"write at most {kind.limit}")
    for rule in kind.rules:
        if rule.broken(value):
            shown = "" if kind.secret else f"{_shown(value)} "
            raise InvalidShim(path, shown + rule.problem, rule.advice)
    return value


def _choice(kind: Choice, value: object, path: str) -> str:
    if not isinstance(value, str) or value not in kind.words:
        raise InvalidShim(path, f"is {_shown(value)}", f"write one of: {', '.join(kind.words)}")
    return value


def _flag(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidShim(path, f"is {_shown(value)}", "write true or false")
    return value


def _whole(kind: Whole, value: object, path: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON knows one kind of number, and the API server takes 1.0 for 1
    if not _is_whole(value, kind.least):
        raise InvalidShim(
            path,
            f"is {_shown(value)}",
            f"write a whole number from {kind.least} to {MAX_WHOLE}",
        )
    return cast("int", value)


def _amount(kind: Amount, value: object, path: str) -> int | str:
    if isinstance(value, str) and len(value) <= kind.limit and not kind.rule.broken(value):
        return value
    if _is_whole(value, kind.least):
        return cast("int", value)
    raise InvalidShim(path, f"{kind.rule.problem}: {_shown(value)}", kind.rule.advice)


def _is_whole(value: object, least: int) -> bool:
    return type(value) is int and least <= value <= MAX_WHOLE


def _shown(value: object) -> str:
    return repr(value if isinstance(value, (bool, int, float)) else str(value)[:64])


def _map(kind: Map, value: object, path: str) -> dict[str, Any]:
    found = _given(value, path)
    _limit(len(found), kind.limit, path)
    for key in found:
        if kind.key.broken(key):
            raise InvalidShim(
                path, f"has the key {key[:64]!r}, which {kind.key.problem}", kind.key.advice
            )
    return {key: read(kind.value, found[key], f"{path}.{key}") for key in sorted(found)}


def _given(value: object, path: str) -> dict[str, Any]:
    """Leave out what is null, as the API server does."""
    return {key: item for key, item in mapping(value, path).items() if item is not None}


def _limit(count: int, limit: int, path: str) -> None:
    if count > limit:
        raise InvalidShim(path, f"has {count} entries", f"write at most {limit}")


def _list(kind: List, value: object, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong_type(value, path, "a list", "begin each entry with '-'")
    items = cast("list[object]", value)
    _limit(len(items), kind.limit, path)
    found = [read(kind.item, item, f"{path}[{index}]") for index, item in enumerate(items)]
    _refuse_repeated(kind, found, path)
    _keep_together(kind.rules, found, path)
    return found


def _refuse_repeated(kind: List, found: list[Any], path: str) -> None:
    if kind.keys and len({tuple(item[key] for key in kind.keys) for item in found}) < len(found):
        raise InvalidShim(
            path, f"has two entries with one {' and '.join(kind.keys)}", "keep one of them"
        )
    if kind.unique and any(item in found[:index] for index, item in enumerate(found)):
        raise InvalidShim(path, "has an entry twice", "keep one of them")


def _record(kind: Record, value: object, path: str) -> dict[str, Any]:
    known(mapping(value, path), path, tuple(kind.fields))
    given = _given(value, path)
    for key in kind.required:
        if key not in given:
            raise InvalidShim(
                f"{path}.{key}", "is missing", f"add it: {kind.fields[key].description}"
            )
    found = {key: read(kind.fields[key], item, f"{path}.{key}") for key, item in given.items()}
    _keep_together(kind.rules, found, path)
    return found


def _keep_together(rules: tuple[Together, ...], found: Any, path: str) -> None:
    for rule in rules:
        if rule.broken(found):
            where = f"{path}.{rule.at}" if rule.at else path
            raise InvalidShim(where, rule.problem, rule.advice)
