"""Reading one field of a decoded manifest, or saying what is wrong with it.

Called by `shim`. Each function takes the value and the field's path and returns the value in its
type, or raises `InvalidShim`. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

from rcm_api import names

MAX_LOCATION = 2048
"""Longest URL we take; a guess that leaves room for signed URLs."""
MAX_MEMBER = 255
"""NAME_MAX of Linux file systems."""
MAX_COUNT = 1_000_000
"""More nodes than any cluster has: above it, somebody mistyped."""

_OPTION_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)
_MEMBER = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*", re.ASCII)
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})", re.ASCII)
_PERCENT = re.compile(r"([0-9]{1,3})%", re.ASCII)


class InvalidShim(ValueError):  # noqa: N818 - reads as what it is
    """A manifest that says something impossible.

    Attributes:
        path: the field, for example `spec.runtimeClass.handler`.
        problem: what is wrong with it.
        advice: what to write instead.
    """

    def __init__(self, path: str, problem: str, advice: str) -> None:
        """Keep the three parts; `str()` joins the first two."""
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem
        self.advice = advice


def mapping(value: object, path: str) -> Mapping[str, Any]:
    """Return a mapping with string keys."""
    if not isinstance(value, Mapping):
        kind = "is missing" if value is None else f"is a {type(value).__name__}, not a mapping"
        raise InvalidShim(path, kind, "write key: value pairs below it")
    found = cast("Mapping[object, Any]", value)
    if not all(isinstance(key, str) for key in found):
        raise InvalidShim(path, "has a key that is not a string", "put the key in quotes")
    return cast("Mapping[str, Any]", found)


def sequence(value: object, path: str) -> Sequence[Any]:
    """Return a list."""
    if not isinstance(value, list):
        raise InvalidShim(
            path, f"is a {type(value).__name__}, not a list", "begin each entry with '-'"
        )
    return cast("Sequence[Any]", value)


def known(found: Mapping[str, Any], path: str, allowed: Iterable[str]) -> None:
    """Refuse keys that mean nothing, which are typing errors more often than wishes."""
    names_ = tuple(allowed)
    for key in found:
        if key not in names_:
            where = f"{path}.{key}" if path else key
            raise InvalidShim(
                where[:200], "is not a known field", f"known are: {', '.join(names_)}"
            )


def text(value: object, path: str, *, empty: bool = False, limit: int = 1024) -> str:
    """Return a string without control characters."""
    if not isinstance(value, str) or (not value and not empty):
        kind = "is missing" if not value else f"is a {type(value).__name__}, not a string"
        raise InvalidShim(path, kind, "write a string")
    if len(value) > limit:
        raise InvalidShim(path, f"has {len(value)} characters", f"write at most {limit}")
    if any(ord(char) < 32 or ord(char) == 127 for char in value):  # noqa: PLR2004 - ASCII controls
        raise InvalidShim(path, "has a control character", "write it on one line, without tabs")
    return value


def choice(value: object, path: str, kinds: Mapping[str, str]) -> str:
    """Return the canonical spelling of one of a few words."""
    if not isinstance(value, str) or value not in kinds:
        raise InvalidShim(path, f"is {str(value)[:64]!r}", f"write one of: {', '.join(kinds)}")
    return kinds[value]


def flag(value: object, path: str) -> bool:
    """Return a boolean."""
    if not isinstance(value, bool):
        raise InvalidShim(path, f"is {str(value)[:64]!r}", "write true or false")
    return value


def whole(value: object, path: str, *, least: int) -> int:
    """Return an integer from `least` to a million."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_COUNT:
        raise InvalidShim(
            path, f"is {str(value)[:64]!r}", f"write a whole number from {least} to {MAX_COUNT}"
        )
    return value


def count(value: object, path: str, *, least: int) -> int | str:
    """Return a number of nodes, or a percentage as written."""
    if isinstance(value, str):
        percent = _PERCENT.fullmatch(value)
        if percent is not None and 1 <= int(percent[1]) <= 100:  # noqa: PLR2004 - percent
            return value
        raise InvalidShim(
            path, f"is {value[:64]!r}", "write a whole number, or a percentage from 1% to 100%"
        )
    return whole(value, path, least=least)


def sha256(value: object, path: str) -> str:
    """Return a SHA-256 as 64 lower-case hex digits."""
    if isinstance(value, str) and names.is_sha256(value.lower()):
        return value.lower()
    length = len(value) if isinstance(value, str) else 0
    raise InvalidShim(
        path,
        f"is no SHA-256 ({length} characters)",
        "write the 64 hex digits that sha256sum prints",
    )


def location(value: object, path: str, *, sha256: str | None) -> str:
    """Return a URL that we can fetch from."""
    found = text(value, path, limit=MAX_LOCATION)
    try:
        parts = urlsplit(found)
        has_login = parts.username is not None or parts.password is not None
        host = parts.hostname
    except ValueError as error:
        raise InvalidShim(path, "is no URL", "write https://…, http://… or file:///…") from error
    if parts.scheme not in {"https", "http", "file"}:
        raise InvalidShim(
            path, f"has the scheme {parts.scheme[:16]!r}", "write https://…, http://… or file:///…"
        )
    if has_login:
        raise InvalidShim(
            path, "holds a user name or password", "take it out: everybody can read a manifest"
        )
    if parts.scheme == "http" and sha256 is None:
        raise InvalidShim(path, "is http:// without a sha256", "add sha256, or write https://")
    if parts.scheme == "file" and (host or not parts.path.startswith("/")):
        raise InvalidShim(path, "is no absolute path of the node", "write file:///path/on/the/node")
    if parts.scheme != "file" and not host:
        raise InvalidShim(path, "names no host", "write https://host/path")
    return found


def member(value: object, path: str) -> str:
    """Return the name of an archive's member, without a leading `./`."""
    found = text(value, path, limit=MAX_MEMBER).removeprefix("./")
    if not _MEMBER.fullmatch(found) or ".." in found.split("/"):
        raise InvalidShim(
            path,
            f"{found[:64]!r} is no plain relative path",
            "write the member's name as tar -t prints it",
        )
    return found


def option_key(value: str, path: str) -> str:
    """Return the key of a runtime option."""
    if not _OPTION_KEY.fullmatch(value):
        raise InvalidShim(
            path, f"has the key {value[:64]!r}", "option keys look like SystemdCgroup"
        )
    return value


def option_value(value: object, path: str) -> bool | int | str:
    """Return an option as the TOML value that it reads as: boolean, integer or string."""
    if isinstance(value, (bool, int)):
        return value
    found = text(value, path, empty=True)
    if found in {"true", "false"}:
        return found == "true"
    return int(found) if _INTEGER.fullmatch(found) else found
