"""Where things are in a TOML text: tomllib tells what a text means, this tells the offsets.

Called by `marks`, `patterns_edit` and `block` to place and remove text without touching the rest.
The text has been parsed by tomllib before, so only well-formed input arrives here.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field

BOM = "\ufeff"

_BLANK = re.compile(r"[ \t\r\n\ufeff]*")
_SPACE = re.compile(r"[ \t]*")
_COMMENT = re.compile(r"#[^\r\n]*")
_LINE_END = re.compile(r"[ \t]*(#[^\r\n]*)?(\r?\n|\Z)")
_DOT = re.compile(r"[ \t]*\.[ \t]*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_STRING = re.compile(
    r'''"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^'\n]*\'''', re.DOTALL
)
# Numbers, booleans, and dates, which may hold one space.
_BARE = re.compile(r"[^\s,\]}#](?:[^,\]}#\r\n]*[^\s,\]}#])?")


@dataclass(frozen=True, slots=True)
class Statement:
    """A table header or a key with its value."""

    path: tuple[str, ...]
    """Full path, the header's included."""
    start: int
    """Of the line on which it begins."""
    end: int
    """After its last line's line end."""
    value: int | None
    """Where the value begins; None for a header."""
    value_end: int = 0


@dataclass(frozen=True, slots=True)
class Item:
    """An element of an array or an entry of an inline table."""

    path: tuple[str, ...]
    """The entry's key; empty for an array."""
    start: int
    value: int
    end: int
    comma: int | None
    """Offset of the comma after it."""


@dataclass(frozen=True, slots=True)
class Items:
    """What stands between two brackets."""

    items: tuple[Item, ...]
    close: int
    """Offset of the closing bracket."""


@dataclass(frozen=True, slots=True)
class Document:
    """Everything of a text, in order."""

    statements: tuple[Statement, ...]
    comments: tuple[tuple[int, int], ...]
    """Start and end of every comment, also of those inside arrays."""

    def root_keys(self) -> tuple[Statement, ...]:
        """Return the keys above the first table header."""
        return tuple(s for s in self.statements[: self._first_header()] if s.value is not None)

    def first_header(self) -> Statement | None:
        """Return the first table header."""
        index = self._first_header()
        return self.statements[index] if index < len(self.statements) else None

    def _first_header(self) -> int:
        for index, statement in enumerate(self.statements):
            if statement.value is None:
                return index
        return len(self.statements)


@dataclass(slots=True)
class _Reader:
    text: str
    comments: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    def statements(self) -> list[Statement]:
        found: list[Statement] = []
        table: tuple[str, ...] = ()
        at = self.skip(0)
        while at < len(self.text):
            if self.text[at] == "[":
                statement = self.header(at)
                table = statement.path
            else:
                statement = self.pair(at, table)
            found.append(statement)
            at = self.skip(statement.end)
        return found

    def skip(self, at: int) -> int:
        """Pass blanks, line ends and comments."""
        at = _end(_BLANK, self.text, at)
        while self.text.startswith("#", at):
            end = _end(_COMMENT, self.text, at)
            self.comments.append((at, end))
            at = _end(_BLANK, self.text, end)
        return at

    def header(self, at: int) -> Statement:
        brackets = 2 if self.text.startswith("[[", at) else 1
        path, end = self.key(_end(_SPACE, self.text, at + brackets))
        end = _end(_SPACE, self.text, end) + brackets
        return Statement(path, line_start(self.text, at), self.line_end(end), None)

    def pair(self, at: int, table: tuple[str, ...]) -> Statement:
        path, equals = self.key(at)
        value = self.after_equals(equals)
        end = self.value(value)
        start = line_start(self.text, at)
        return Statement(table + path, start, self.line_end(end), value, end)

    def after_equals(self, at: int) -> int:
        return _end(_SPACE, self.text, _end(_SPACE, self.text, at) + 1)

    def line_end(self, at: int) -> int:
        match = _LINE_END.match(self.text, at)
        if match is None:
            raise ValueError(f"no line end at offset {at}")
        if match[1]:
            self.comments.append((match.start(1), match.end(1)))
        return match.end()

    def key(self, at: int) -> tuple[tuple[str, ...], int]:
        parts: list[str] = []
        while True:
            end = _end(_KEY, self.text, at)
            parts.append(_unquote(self.text[at:end]))
            dot = _DOT.match(self.text, end)
            if dot is None:
                return tuple(parts), end
            at = dot.end()

    def value(self, at: int) -> int:
        first = self.text[at]
        if first in "[{":
            return self.items(at).close + 1
        return _end(_STRING if first in "\"'" else _BARE, self.text, at)

    def items(self, at: int) -> Items:
        """Read an array or an inline table."""
        keyed = self.text[at] == "{"
        closing = "}" if keyed else "]"
        found: list[Item] = []
        at = self.skip(at + 1)
        while self.text[at] != closing:
            item = self.item(at, keyed=keyed)
            found.append(item)
            at = self.skip(item.end)
            if item.comma is not None:
                at = self.skip(item.comma + 1)
        return Items(tuple(found), at)

    def item(self, at: int, *, keyed: bool) -> Item:
        path: tuple[str, ...] = ()
        value = at
        if keyed:
            path, equals = self.key(at)
            value = self.after_equals(equals)
        end = self.value(value)
        # A look ahead that must not record comments: the caller passes them again.
        comma = _Reader(self.text).skip(end)
        return Item(path, at, value, end, comma if self.text[comma] == "," else None)


@functools.lru_cache(maxsize=16)  # the same few texts, looked at from several sides
def scan(text: str) -> Document:
    """Return every statement and comment of a well-formed TOML text."""
    reader = _Reader(text)
    statements = tuple(reader.statements())
    return Document(statements, tuple(sorted(reader.comments)))


def items(text: str, at: int) -> Items:
    """Return what stands in the array or inline table that begins at `at`."""
    return _Reader(text).items(at)


def without(text: str, statements: Sequence[Statement]) -> str:
    """Return a text without some of its statements, which are in order."""
    for statement in reversed(statements):
        text = text[: statement.start] + text[statement.end :]
    return text


def line_start(text: str, at: int) -> int:
    """Return where the line of offset `at` begins, a byte order mark left out."""
    start = text.rfind("\n", 0, at) + 1
    return start + 1 if start == 0 and text.startswith(BOM) else start


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    if match is None:
        raise ValueError(f"unexpected text at offset {at}")
    return match.end()


@functools.lru_cache(maxsize=256)  # the same few plugin ids in every header
def _unquote(key: str) -> str:
    if key[0] not in "\"'":
        return key
    value: str = tomllib.loads(f"k = {key}")["k"]
    return value
