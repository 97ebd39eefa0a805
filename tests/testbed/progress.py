"""Tells the person who waits what is being built, and since when.

Several parts are built at the same time, so one board keeps them all: on a terminal one live line
shows every running part, elsewhere a line is printed when a part starts, every half minute, and
when it ends. All of it goes to stderr: stdout belongs to the command's result.
"""

import collections.abc
import contextlib
import dataclasses
import sys
import threading
import time

# How often the live line moves, and how often a log file gets a sign of life: chosen by eye.
_TICK_S = 1.0
_SIGN_OF_LIFE_S = 30.0


@dataclasses.dataclass(slots=True)
class _Task:
    name: str
    started: float
    step: str = ""
    told: float = 0.0


class Board:
    """The running tasks of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: list[_Task] = []
        self._ticker: threading.Thread | None = None

    @contextlib.contextmanager
    def task(self, name: str) -> collections.abc.Iterator[collections.abc.Callable[[str], None]]:
        """Show `name` as running until the block ends; the yielded function names its step."""
        task = _Task(name, time.monotonic())
        self._begin(task)
        failed = True
        try:
            yield lambda step: setattr(task, "step", step)
            failed = False
        finally:
            self._end(task, "failed" if failed else "done")

    def say(self, text: str) -> None:
        """Print one line above the live line."""
        with self._lock:
            self._print(text)

    def _begin(self, task: _Task) -> None:
        with self._lock:
            task.told = task.started
            self._tasks.append(task)
            if not sys.stderr.isatty():
                self._print(f"{task.name}: started")
            if self._ticker is None:
                self._ticker = threading.Thread(target=self._tick, daemon=True)
                self._ticker.start()

    def _end(self, task: _Task, result: str) -> None:
        with self._lock:
            self._tasks.remove(task)
            self._print(f"{task.name}: {result} in {time.monotonic() - task.started:.0f} s")

    def _tick(self) -> None:
        while True:
            time.sleep(_TICK_S)
            with self._lock:
                if not self._tasks:
                    self._ticker = None
                    return
                self._show(time.monotonic())

    def _show(self, now: float) -> None:
        if sys.stderr.isatty():
            line = "  ".join(_describe(task, now) for task in self._tasks)
            sys.stderr.write(f"\r\x1b[K{line[:120]}")
            sys.stderr.flush()
            return
        for task in self._tasks:
            if now - task.told >= _SIGN_OF_LIFE_S:
                task.told = now
                self._print(_describe(task, now))

    def _print(self, text: str) -> None:
        clear = "\r\x1b[K" if sys.stderr.isatty() else ""
        sys.stderr.write(f"{clear}{text}\n")
        sys.stderr.flush()


def _describe(task: _Task, now: float) -> str:
    step = f" ({task.step})" if task.step else ""
    return f"{task.name}: {now - task.started:.0f} s{step}"


board = Board()
