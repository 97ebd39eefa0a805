"""Downloads beside everything else: a slow server of one Shim holds up no other.

Called by `loop`, which starts, cancels and collects them. Only the store is touched here, under the
host's lock; whatever cleans the store leaves it alone meanwhile.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from rcm_agent import desired, errors, fetch
from rcm_agent.cluster import holding, telling, watchers
from rcm_agent.host import store
from rcm_agent.work import Work

AT_A_TIME = 2
"""Each unpacks with some megabytes of memory; a third waits."""

Run = Callable[[Callable[[], None]], None]
"""Starts a function, at once or in a thread."""


@dataclass(frozen=True, slots=True)
class Done:
    """A download that ended by itself."""

    wanted: desired.Wanted
    stored: store.Stored | None = None
    error: errors.AgentError | None = None
    seconds: float = 0.0
    """What it took, without the time that it waited for others."""


@dataclass(slots=True)
class _Task:
    wanted: desired.Wanted
    work: Work
    cancelled: threading.Event


def in_thread(function: Callable[[], None]) -> None:
    """Run beside the caller; ends with the process."""
    threading.Thread(target=function, name="fetch", daemon=True).start()


class Downloads:
    """Those under way, by the Shim's name."""

    def __init__(
        self,
        lock: holding.Lock,
        observer: watchers.Observer,
        *,
        wake: Callable[[], None],
        run: Run = in_thread,
        stopping: telling.Stopping = telling.never,
    ) -> None:
        """Call `wake` when one ends; all end when `stopping` says so."""
        self._lock = lock
        self._observer = observer
        self._wake = wake
        self._run = run
        self._stopping = stopping
        self._mutex = threading.Lock()
        self._tasks: dict[str, _Task] = {}
        self._waiting: collections.deque[_Task] = collections.deque()
        self._running = 0
        self._done: list[Done] = []

    def busy(self) -> bool:
        """Tell whether one is under way or waits."""
        with self._mutex:
            return bool(self._tasks)

    def start(self, work: Work, wanted: desired.Wanted) -> bool:
        """Have an artifact fetched; one for the same file goes on. False: it goes on already."""
        with self._mutex:
            former = self._tasks.get(wanted.name)
            if former is not None and former.wanted.artifact == wanted.artifact:
                former.wanted = wanted
                return False
            if former is not None:
                former.cancelled.set()
            task = _Task(wanted, work, threading.Event())
            self._tasks[wanted.name] = task
            self._waiting.append(task)
        self._next()
        return True

    def only(self, names: frozenset[str]) -> None:
        """Cancel what nobody asks for any more."""
        with self._mutex:
            for name in self._tasks.keys() - names:
                self._tasks.pop(name).cancelled.set()

    def take(self) -> tuple[Done, ...]:
        """Return those that ended since the last call."""
        with self._mutex:
            done, self._done = tuple(self._done), []
        return done

    def _next(self) -> None:
        with self._mutex:
            if self._running >= AT_A_TIME or not self._waiting:
                return
            task = self._waiting.popleft()
            self._running += 1
        self._run(lambda: self._work(task))

    def _work(self, task: _Task) -> None:
        done: Done | None = None
        try:
            done = self._fetch(task)
        except telling.Stopped:
            pass
        finally:
            with self._mutex:
                self._running -= 1
                if self._tasks.get(task.wanted.name) is task:
                    del self._tasks[task.wanted.name]
                    if done is not None:
                        self._done.append(replace(done, wanted=task.wanted))
            self._wake()
            self._next()

    def _fetch(self, task: _Task) -> Done:
        def stopping() -> bool:
            return task.cancelled.is_set() or self._stopping()

        if stopping():
            raise telling.Stopped
        machine = task.work.host.machine
        teller = telling.Teller(self._observer, stopping=stopping)
        work = replace(task.work, tell=teller, pause=telling.patience(machine, stopping))
        began = machine.uptime_s()
        try:
            with self._lock.held(work.host):
                found = fetch.download(work, task.wanted)
        except errors.AgentError as error:
            return Done(task.wanted, error=error, seconds=machine.uptime_s() - began)
        seconds = machine.uptime_s() - began
        if found.fetched_bytes:
            self._observer.fetched(found.fetched_bytes, seconds)
        return Done(task.wanted, stored=found, seconds=seconds)
