"""Telling a person or a program what happens: steps with durations, notes, bytes.

Called by everything that does. On a terminal one line per step, redrawn while it runs; otherwise
one JSON object per line.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Literal, Protocol

Level = Literal["info", "warning", "error"]

REDRAW_S = 0.1
"""A terminal is redrawn at most so often; the eye follows ten pictures a second."""
_MIB = 1 << 20


class Reporter(Protocol):
    """Where the agent tells what it does."""

    def step(self, name: str, detail: str = "") -> AbstractContextManager[None]:
        """Frame a step: begun, then done with its duration, or failed."""
        ...

    def note(self, level: Level, text: str, **facts: object) -> None:
        """Say one sentence, with facts for programs."""
        ...

    def bytes(self, done: int, total: int | None) -> None:
        """Tell how far a download is."""
        ...


class Terminal:
    """For a person."""

    def __init__(self, stream: IO[str]) -> None:
        """Write to `stream`, a terminal."""
        self._stream = stream
        self._line = ""
        self._drawn = 0.0

    @contextmanager
    def step(self, name: str, detail: str = "") -> Generator[None]:
        """Draw `… name detail`, then the same with a mark and the duration."""
        began = time.monotonic()
        self._line = f"{name:<9} {detail}"
        self._draw(f"… {self._line}")
        try:
            yield
        except BaseException:
            self._end(f"✗ {self._line}  {time.monotonic() - began:.2f} s")
            raise
        self._end(f"✓ {self._line}  {time.monotonic() - began:.2f} s")

    def note(self, level: Level, text: str, **facts: object) -> None:
        """Print the sentence, and what to do about it on a line of its own."""
        mark = {"info": " ", "warning": "!", "error": "✗"}[level]
        self._end(f"{mark} {text}")
        if facts.get("advice"):
            self._end(f"  → {facts['advice']}")

    def bytes(self, done: int, total: int | None) -> None:
        """Redraw the current step with the bytes so far."""
        now = time.monotonic()
        if now - self._drawn < REDRAW_S:
            return
        self._drawn = now
        of = f" of {total / _MIB:.1f}" if total else ""
        self._draw(f"… {self._line}  {done / _MIB:.1f}{of} MiB")

    def _draw(self, text: str) -> None:
        """Overwrite the line; a stream that cannot (a pipe) gets finished lines only."""
        if self._stream.isatty():
            self._stream.write(f"\r\x1b[2K{text}")
            self._stream.flush()

    def _end(self, text: str) -> None:
        self._draw("")
        self._stream.write(text + "\n")
        self._stream.flush()


class JsonLines:
    """For a program: one object per line, keys documented in the README."""

    def __init__(self, stream: IO[str]) -> None:
        """Write to `stream`."""
        self._stream = stream
        self._told = 0

    @contextmanager
    def step(self, name: str, detail: str = "") -> Generator[None]:
        """Tell when the step ended, and how."""
        began = time.monotonic()
        outcome = "failed"
        try:
            yield
            outcome = "done"
        finally:
            seconds = round(time.monotonic() - began, 3)
            self._write("step", step=name, detail=detail, outcome=outcome, seconds=seconds)

    def note(self, level: Level, text: str, **facts: object) -> None:
        """Tell the sentence and its facts."""
        self._write("note", level=level, message=text, **facts)

    def bytes(self, done: int, total: int | None) -> None:
        """Tell every tenth part, or every 16 MiB when the size is unknown."""
        part = max((total or 160 * _MIB) // 10, 1)
        if done // part != self._told // part or done == total:
            self._told = done
            self._write("bytes", done=done, total=total)

    def _write(self, event: str, **facts: object) -> None:
        self._stream.write(json.dumps({"event": event, **facts}) + "\n")
        self._stream.flush()


class Silent:
    """For tests, and for looking without telling."""

    @contextmanager
    def step(self, _name: str, _detail: str = "") -> Generator[None]:
        """Tell nothing."""
        yield

    def note(self, _level: Level, _text: str, **_facts: object) -> None:
        """Tell nothing."""

    def bytes(self, _done: int, _total: int | None) -> None:
        """Tell nothing."""


def reporter(stream: IO[str], *, progress: str) -> Reporter:
    """Return the one that was asked for, `auto`: the one that suits `stream`."""
    terminal = stream.isatty() if progress == "auto" else progress == "terminal"
    return Terminal(stream) if terminal else JsonLines(stream)
