"""Runtimes as entries of an inline table, where a file is written that way.

TOML keeps an inline table on one line and closed to headers, so the entries go before its closing
brace, and two marker comments above the line say which they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rcm_agent.containerd import marks, scan, toml

WHAT = "entries"


@dataclass(frozen=True, slots=True)
class Host:
    """The innermost inline table on the way to a path."""

    line: int
    """Where the statement's line begins."""
    open: int
    """Offset of the opening brace."""
    rest: tuple[str, ...]
    """What of the path it does not have yet."""


def find(text: str, path: tuple[str, ...]) -> Host | None:
    """Return the inline table that the table at `path` is or would be part of."""
    for statement in scan.scan(text).statements:
        depth = len(statement.path)
        if statement.value is None or path[:depth] != statement.path:
            continue
        return _descend(text, Host(statement.start, statement.value, path[depth:]))
    return None


def add(text: str, host: Host, wanted: Mapping[str, toml.Table]) -> str:
    """Put entries in, and the comments above the line."""
    newline = toml.newline(text)
    items = scan.items(text, host.open)
    content: toml.Table = dict(wanted)
    for key in reversed(host.rest):
        content = {key: content}
    entries = ", ".join(f"{toml.key(key)} = {toml.value(item)}" for key, item in content.items())
    at = items.items[-1].end if items.items else items.close
    lead = ", " if items.items else ""
    what = f"{WHAT} {', '.join(content)} of the next line"
    note = marks.compose(what, (), newline=newline) + newline
    return text[: host.line] + note + text[host.line : at] + lead + entries + text[at:]


def keys(what: str) -> tuple[str, ...]:
    """Return the keys that a marked part says it put into the next line."""
    kind, _, rest = what.partition(" ")
    return tuple(rest.removesuffix(" of the next line").split(", ")) if kind == WHAT else ()


def remove(text: str, *, after: int, names: tuple[str, ...]) -> str:
    """Take entries out of the first statement behind `after`."""
    for statement in scan.scan(text).statements:
        if statement.start >= after and statement.value is not None:
            return _remove(text, statement.value, statement.path, names)
    return text


def _remove(text: str, at: int, path: tuple[str, ...], names: tuple[str, ...]) -> str:
    if text[at] != "{":
        return text
    items = scan.items(text, at).items
    for index in reversed(range(len(items))):
        item = items[index]
        inner = path + item.path
        if item.path[-1] in names and _leads_to_runtimes(inner):
            text = _cut(text, items, index)
        else:
            text = _remove(text, item.value, inner, names)
    return text


def _leads_to_runtimes(path: tuple[str, ...]) -> bool:
    pattern = ("plugins", None, "containerd", "runtimes", None)
    return len(path) <= len(pattern) and all(
        wanted in (None, part) for wanted, part in zip(pattern, path, strict=False)
    )


def _cut(text: str, items: tuple[scan.Item, ...], index: int) -> str:
    item = items[index]
    if index:
        comma = items[index - 1].comma
        return text[:comma] + text[item.end :]
    if item.comma is not None:
        return text[: item.start] + text[item.comma + 1 :].lstrip(" \t")
    return text[: item.start] + text[item.end :]


def _descend(text: str, host: Host) -> Host:
    """Follow the path into nested inline tables as far as they go."""
    for item in scan.items(text, host.open).items if text[host.open] == "{" else ():
        depth = len(item.path)
        if host.rest[:depth] == item.path and text[item.value] == "{":
            return _descend(text, Host(host.line, item.value, host.rest[depth:]))
    return host
