"""What goes wrong, and when: every call of the agent passes a `Gate`.

A `Fault` names calls (`kernel.rename`, `systemd.restart`, `containerd.run_sandbox`, …, as patterns),
which of them is hit, and whether before it, in its middle or after it. Calls that change something
are effects: numbered from 1, written to the log, and points at which the agent can be killed.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from rcm_agent import errors
from tests.fakes import disk as disks

When = Literal["before", "during", "after"]


class Killed(BaseException):
    """The agent is dead; every further call of the same agent raises this too."""


class UnexpectedCall(BaseException):
    """The model does not know this call: the test is wrong, or the model must learn it."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One call that changed something."""

    number: int
    name: str
    path: str
    """What it acted on: a path, a unit, a handler."""
    at_s: float


@dataclass(frozen=True, slots=True)
class Kill:
    """End the agent."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Raise the OSError of this number."""

    number: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """Raise UnitError or CriError; with `when="after"` the work is done and the reply lost."""

    text: str = "injected"
    code: str = "UNKNOWN"
    takes_s: float = 0


@dataclass(frozen=True, slots=True)
class Edit:
    """Somebody else appends to a file, replaces it, or removes it (both None)."""

    path: str
    append: bytes | None = None
    content: bytes | None = None
    once: bool = True


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong."""

    do: Kill | Fail | Refuse | Edit
    on: str = "*"
    """Pattern of the call's name."""
    path: str = "*"
    """Pattern of what it acts on."""
    nth: int = 1
    """Which of the calls that match; 0: each of them."""
    at: int = 0
    """Instead: the effect with this number."""
    stays: bool = False
    """Every later one too."""
    when: When = "before"
    seen: int = 0

    def hits(self, name: str, path: str, number: int) -> bool:
        if not (fnmatch.fnmatchcase(name, self.on) and fnmatch.fnmatchcase(path, self.path)):
            return False
        self.seen += 1
        if self.at:
            return number >= self.at if self.stays else number == self.at
        return self.nth in {0, self.seen} or (self.stays and self.seen >= self.nth)


@dataclass(slots=True)
class Gate:
    """Where one agent's calls pass."""

    faults: list[Fault] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    now: Callable[[], float] = lambda: 0.0
    spend: Callable[[float], None] = lambda _: None
    edit: Callable[[Edit], None] = lambda _: None
    watch: Callable[[str], None] | None = None
    """Told a label at every point where a killed agent leaves another state."""
    dead: bool = False
    calls: int = 0
    limit: int = 50_000
    """More calls than this: the agent loops."""
    _hits: list[Fault] = field(default_factory=list)
    _name: str = ""
    _path: str = ""
    _number: int = 0

    def before(self, name: str, path: str = "", *, effect: bool = True) -> None:
        """Count a call and let the faults before it strike."""
        if self.dead:
            raise Killed
        self.calls += 1
        if self.calls > self.limit:
            raise UnexpectedCall(f"{self.limit} calls: the agent loops, last {name} {path}")
        self._name, self._path, self._number = name, path, 0
        if effect:
            self._number = len(self.effects) + 1
            self.effects.append(Effect(self._number, name, path, self.now()))
        if self.faults:
            self._hits = [f for f in self.faults if f.hits(name, path, self._number)]
            self._strike("before")

    def during(self) -> None:
        """Mark the middle of an effect."""
        self._strike("during")
        if self.watch is not None:
            self.watch(f"during {self._number} {self._name} {self._path}")

    def after(self) -> None:
        """Let the faults after the call strike."""
        self._strike("after")
        if self.watch is not None and self._number:
            self.watch(f"after {self._number} {self._name} {self._path}")

    def _strike(self, when: When) -> None:
        hits = [fault for fault in self._hits if fault.when == when]
        if when == "after":
            self._hits = []
        for fault in hits:
            self._do(fault.do)

    def _do(self, what: Kill | Fail | Refuse | Edit) -> None:
        match what:
            case Kill():
                self.dead = True
                raise Killed(f"at effect {self._number}: {self._name} {self._path}")
            case Fail(number):
                raise disks.failure(number, self._path)
            case Edit():
                self.edit(what)
            case Refuse(text, code, takes_s):
                self.spend(takes_s)
                if self._name.startswith("systemd."):
                    raise errors.UnitError(f"{self._name} {self._path}: {text}")
                raise errors.CriError(f"{self._name} {self._path}: {text}", code=code)
