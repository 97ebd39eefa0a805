"""One marked change to a file's `imports`, whatever it looks like, and the way back.

Three shapes: no `imports` yet (whole lines above the first table), a list whose bracket closes on
a line of its own (whole lines before it), and a list that closes behind other text (a part that
begins behind that text, so that `[` … `]` still meet when it is cut out).
"""

from __future__ import annotations

from collections.abc import Sequence

from rcm_agent.containerd import marks, scan, toml

WHAT = "imports its runtimes"
_INDENT = "  "


def add(text: str, patterns: Sequence[str]) -> str:
    """Make a file import `patterns` too, after what it imports already.

    Returns the same text when it does.
    """
    statement = _statement(text)
    if statement is None:
        return _add_statement(text, patterns)
    held = toml.parse(text.encode())["imports"]
    missing = [pattern for pattern in patterns if pattern not in held]
    if not missing:
        return text
    return _extend(text, statement, missing)


def remove(text: str, patterns: Sequence[str]) -> str:
    """Take `patterns` out of the list one by one, for where the marks are gone.

    A tool that reads and writes the file anew (nvidia-ctk does) keeps our imports and drops our
    comments.
    """
    held = toml.parse(text.encode()).get("imports", [])
    for pattern in patterns:
        statement = _statement(text)
        if statement is not None and pattern in held:
            text = _remove_one(text, statement, pattern)
    return text


def _statement(text: str) -> scan.Statement | None:
    for statement in scan.scan(text).root_keys():
        if statement.path == ("imports",):
            return statement
    return None


def _add_statement(text: str, patterns: Sequence[str]) -> str:
    newline = toml.newline(text)
    part = marks.compose(WHAT, [f"imports = {toml.value(list(patterns))}"], newline=newline)
    return marks.append(text, part, at=_place(text), newline=newline)


def _place(text: str) -> int:
    """After the last key above the tables; without one, above the first table."""
    document = scan.scan(text)
    keys = document.root_keys()
    if keys:
        return keys[-1].end
    header = document.first_header()
    return header.start if header else len(text)


def _extend(text: str, statement: scan.Statement, missing: Sequence[str]) -> str:
    assert statement.value is not None  # noqa: S101 - imports is a key, keys have values
    array = scan.items(text, statement.value)
    newline = toml.newline(text)
    # A comma before ours where the last element has none; else one after ours, as there.
    leads = bool(array.items) and array.items[-1].comma is None
    elements = ", ".join(toml.value(pattern) for pattern in missing)
    line = f", {elements}" if leads else f"{elements},"
    start = scan.line_start(text, array.close)
    if start > statement.value and not text[start : array.close].strip(" \t"):
        part = marks.compose(WHAT, [line], newline=newline, indent=_INDENT)
        return text[:start] + part + newline + text[start:]
    part = marks.compose(WHAT, [_INDENT + line], newline=newline)
    return text[: array.close] + " " + part + newline + text[array.close :]


def _remove_one(text: str, statement: scan.Statement, pattern: str) -> str:
    assert statement.value is not None  # noqa: S101 - as above
    array = scan.items(text, statement.value)
    for index, item in enumerate(array.items):
        if toml.parse(b"v = " + text[item.value : item.end].encode())["v"] == pattern:
            return _cut_item(text, array.items, index)
    return text


def _cut_item(text: str, items: Sequence[scan.Item], index: int) -> str:
    """Take one element and one comma out; other elements, comments and line ends stay."""
    item = items[index]
    if item.comma is None and index:
        comma = items[index - 1].comma
        assert comma is not None  # noqa: S101 - it stands between two elements
        return text[:comma] + text[comma + 1 : item.start].rstrip(" \t") + text[item.end :]
    if item.comma is None:
        return text[: item.start] + text[item.end :]
    rest = text[item.comma + 1 :]
    if index + 1 < len(items):
        rest = rest.lstrip(" \t")
    return text[: item.start] + text[item.end : item.comma] + rest
