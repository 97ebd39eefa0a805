"""Where the host's code tells what it does (`report.Reporter`): the log, and whoever counts.

Made by `loop` for operations and by `downloads` for each download, which it can stop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import structlog

from rcm_agent import ports
from rcm_agent.cluster import watchers
from rcm_agent.report import Level

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
_UNDO = "undo"
PIECE_S = 0.5
"""A wait of a download looks so often whether it shall end."""

Stopping = Callable[[], bool]
"""Tells whether the work shall end."""


class Stopped(KeyboardInterrupt):
    """A download ends because nobody wants it any more; no failure."""


def never() -> bool:
    """Go on: what changes the host ends by itself within the switch's time."""
    return False


class Teller:
    """Tells the log and an observer, and stops a download between two pieces."""

    def __init__(self, observer: watchers.Observer, *, stopping: Stopping = never) -> None:
        """Tell `observer`."""
        self._observer = observer
        self._stopping = stopping
        self.failed = ""
        """The first step that failed since somebody looked."""

    @contextmanager
    def step(self, name: str, detail: str = "") -> Generator[None]:
        """Time a step."""
        began = time.monotonic()
        done = False
        try:
            yield
            done = True
        finally:
            seconds = time.monotonic() - began
            if not done and name != _UNDO:
                self.failed = self.failed or name
            self._observer.step(name, seconds, done=done)
            _log.debug("step", step=name, detail=detail, done=done, seconds=round(seconds, 3))

    def note(self, level: Level, text: str, **facts: object) -> None:
        """Log the sentence."""
        if level == "info":
            _log.debug(text, **facts)
        else:
            _log.log(30 if level == "warning" else 40, text, **facts)

    def bytes(self, done: int, total: int | None) -> None:  # noqa: ARG002 - of Reporter
        """End the download if it shall end."""
        if self._stopping():
            raise Stopped


def patience(machine: ports.Machine, stopping: Stopping) -> Callable[[float], None]:
    """Return what lets seconds pass on a machine, and raises `Stopped` when nobody waits any more."""

    def wait(seconds: float) -> None:
        end = machine.uptime_s() + seconds
        while (left := end - machine.uptime_s()) > 0:
            if stopping():
                raise Stopped
            machine.wait(min(left, PIECE_S))

    return wait
