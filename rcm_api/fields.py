"""The kinds of fields that a manifest has, and how a wrong one is refused.

`shim_fields` describes the Shim in these kinds. `reading` reads values by that description and
`schema` makes the CRD of it, so the API server and a command line refuse the same things in the
same words. Patterns are such that `re` and RE2, the API server's, agree on them. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_WHOLE = 1_000_000
"""More nodes than any cluster has: above it, somebody mistyped."""
MAX_WORD = 128
"""Of what has a form of its own. Longer than any right one: the API server's words about a length
have no advice in them, the rule's have."""


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


@dataclass(frozen=True, slots=True)
class Rule:
    """What a whole text must match, or must not."""

    pattern: str
    problem: str
    advice: str
    refuse: bool = False
    """The texts that match are the wrong ones."""

    def broken(self, text: str) -> bool:
        """Tell whether a text is wrong."""
        return (re.fullmatch(self.pattern, text) is not None) is self.refuse


@dataclass(frozen=True, slots=True)
class Together:
    """What several fields must be together: in CEL, and the same in Python."""

    cel: str
    broken: Callable[[Any], bool]
    problem: str
    advice: str
    at: str = ""
    """The field to name, below the one that carries the rule."""


ONE_LINE = Rule(
    r"[^\x00-\x1f\x7f]*", "has a control character", "write it on one line, without tabs"
)


@dataclass(frozen=True, slots=True)
class Text:
    """A string."""

    description: str
    limit: int
    """Most characters."""
    rules: tuple[Rule, ...] = (ONE_LINE,)
    secret: bool = False
    """May hold a login or a signed query: no message repeats it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    description: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean."""

    description: str


@dataclass(frozen=True, slots=True)
class Whole:
    """An integer from `least` to a million."""

    description: str
    least: int


@dataclass(frozen=True, slots=True)
class Amount:
    """An integer from `least` to a million, or a string that keeps the rule."""

    description: str
    least: int
    rule: Rule
    limit: int
    """Most characters of the string."""


@dataclass(frozen=True, slots=True)
class Map:
    """Any keys that keep a rule, and values of one kind."""

    description: str
    key: Rule
    value: Kind
    limit: int
    """Most entries."""


@dataclass(frozen=True, slots=True)
class List:
    """Values of one kind."""

    description: str
    item: Kind
    limit: int
    """Most items."""
    keys: tuple[str, ...] = ()
    """Fields that tell items apart."""
    unique: bool = False
    """Without such fields: no two items are equal."""
    rules: tuple[Together, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """Named fields."""

    description: str
    fields: Mapping[str, Kind]
    required: tuple[str, ...] = ()
    rules: tuple[Together, ...] = ()


Kind = Text | Choice | Flag | Whole | Amount | Map | List | Record
