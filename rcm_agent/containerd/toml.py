"""Reading and writing TOML values.

tomllib reads; tomlkit writes values and keys. How tables are laid out, one line per value, is ours.
"""

from __future__ import annotations

import functools
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from rcm_agent.containerd import scan

Table = Mapping[str, Any]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN = re.compile(r"[ !#-\[\]-~]*")
"""Text without quotation mark, backslash or anything but ASCII: in quotes, it stands for itself."""


@functools.lru_cache(maxsize=64)  # one look reads the same few files several times
def _parse(data: bytes) -> Table:
    return tomllib.loads(decode(data).removeprefix(scan.BOM))


def parse(data: bytes | None) -> Table:
    """Return what a file means; a missing one is empty. Do not change what you get.

    Raises:
        ValueError: not UTF-8, or not TOML (`tomllib.TOMLDecodeError`, with line and column).
    """
    return _parse(data) if data is not None else {}


def decode(data: bytes) -> str:
    """Return a file's text with its line ends, and its byte order mark if it has one."""
    return data.decode("utf-8")


def newline(text: str) -> str:
    """Return the line end that a text uses: that of its first line."""
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"


def is_table(item: object) -> TypeGuard[Table]:
    """Tell whether a parsed value is a table."""
    return isinstance(item, Mapping)


def is_list(item: object) -> TypeGuard[list[Any]]:
    """Tell whether a parsed value is an array."""
    return isinstance(item, list)


def table(data: object, *path: str) -> Table:
    """Return the table at `path`, an empty one when there is none."""
    found = data
    for name in path:
        found = found.get(name) if is_table(found) else None
    return found if is_table(found) else {}


def key(text: str) -> str:
    """Write a key, quoted where it must be."""
    return text if _BARE_KEY.fullmatch(text) else _quoted(text)


def value(item: object) -> str:
    """Write a value on one line; tables become inline tables."""
    if is_table(item):
        pairs = (f"{key(name)} = {value(inner)}" for name, inner in item.items())
        return "{ " + ", ".join(pairs) + " }" if item else "{}"
    if is_list(item):
        return "[" + ", ".join(value(inner) for inner in item) + "]"
    return _scalar(item)


def tables(path: tuple[str, ...], content: Table) -> Iterator[str]:
    """Write a table as lines: its header, its values, then the tables in it."""
    yield "[" + ".".join(key(part) for part in path) + "]"
    for name, item in content.items():
        if not is_table(item):
            yield f"  {key(name)} = {value(item)}"
    for name, item in content.items():
        if is_table(item):
            yield from tables((*path, name), item)


def _scalar(item: object) -> str:
    """Raise TypeError for what TOML does not have."""
    if isinstance(item, bool | int) or (isinstance(item, str) and _PLAIN.fullmatch(item)):
        return json.dumps(item)  # TOML writes these alike

    import tomlkit  # noqa: PLC0415 - 30 ms, and what is ours to write is plain nearly always

    return tomlkit.item(item).as_string()


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return json.dumps(text)

    import tomlkit  # noqa: PLC0415 - see `_scalar`

    return tomlkit.key(text).as_string()
