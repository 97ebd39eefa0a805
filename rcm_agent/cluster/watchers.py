"""Whoever looks at the agent from outside: what it is told, as a protocol.

Called by `loop`, `turn` and what they use; `metrics` implements it, tests and `Silent` too. Methods
return at once and never raise. They come from several threads.
"""

from __future__ import annotations

from typing import Literal, Protocol

from rcm_api import noderuntime

Kind = Literal["fetch", "apply", "remove", "repair", "recover"]
"""What an operation was for; `repair` puts right what somebody else changed."""
DONE = "Done"
"""The outcome of an operation that succeeded; others are the reasons of `reasons`."""


class Observer(Protocol):
    """What is worth counting."""

    def told(self, status: noderuntime.Status) -> None:
        """The node's status, whole, each time that it changed, whether or not the server has it.

        Phases, versions, facts, counters, waiting and conflicts are gauges of this one argument;
        a Shim that is not in it is gone.
        """
        ...

    def operation(self, kind: Kind, outcome: str, seconds: float) -> None:
        """An operation ended: `DONE`, or the reason why not."""
        ...

    def fetched(self, size_bytes: int, seconds: float) -> None:
        """An artifact came over the network; of both what this download took."""
        ...

    def step(self, name: str, seconds: float, *, done: bool) -> None:
        """A step ended: `fetch`, `probe`, `undo`, or one of `records.Step`."""
        ...

    def restart(self) -> None:
        """The agent restarted containerd."""
        ...

    def rollback(self) -> None:
        """An operation failed, and the host is on its former state."""
        ...

    def drift(self) -> None:
        """Somebody else's change was found and put right."""
        ...

    def conflict(self) -> None:
        """Somebody keeps changing it back, and the agent stops to fight for a while."""
        ...

    def orphans(self, ended: int) -> None:
        """So many processes were ended that containerd did not know any more."""
        ...

    def api_error(self, kind: str) -> None:
        """The API server said no, or nothing: the name of the class in `rcm_api.client.errors`."""
        ...

    def turn(self, seconds: float) -> None:
        """The loop came round once: it lives."""
        ...


class Silent:
    """Nobody looks."""

    def told(self, status: noderuntime.Status) -> None:
        """Forget it."""

    def operation(self, kind: Kind, outcome: str, seconds: float) -> None:
        """Forget it."""

    def fetched(self, size_bytes: int, seconds: float) -> None:
        """Forget it."""

    def step(self, name: str, seconds: float, *, done: bool) -> None:
        """Forget it."""

    def restart(self) -> None:
        """Forget it."""

    def rollback(self) -> None:
        """Forget it."""

    def drift(self) -> None:
        """Forget it."""

    def conflict(self) -> None:
        """Forget it."""

    def orphans(self, ended: int) -> None:
        """Forget it."""

    def api_error(self, kind: str) -> None:
        """Forget it."""

    def turn(self, seconds: float) -> None:
        """Forget it."""
