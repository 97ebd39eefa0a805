"""systemd's side of the simulated host: containerd's unit with its jobs, and timers of the agent.

`doors.FakeSystemd` is the agent's way in; `clock.Clock` lets jobs end and timers fire. As in the
real one: stopping containerd leaves shims alone (KillMode=process), `Restart=always` tries again
after 5 s for ever, five starts within 10 s hit the start limit until `reset-failed`, a job that
nobody waits for goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from tests.fakes import clock as clocks

RESTART_S = 5.0
START_TIMEOUT_S = 90.0
LIMIT_STARTS = 5
LIMIT_S = 10.0

State = Literal["inactive", "activating", "active", "auto-restart", "failed"]


@dataclass(frozen=True, slots=True)
class Start:
    """What becomes of a start of the program."""

    outcome: Literal["ready", "exit", "hang"]
    after_s: float
    words: str = ""


class Program(Protocol):
    """What a unit runs."""

    def begin(self) -> Start:
        """Read the configuration; the start's fate is settled now."""
        ...

    def serve(self) -> None:
        """Become ready."""
        ...

    def end(self) -> None:
        """Be gone, for whatever reason."""
        ...


@dataclass(frozen=True, slots=True)
class Started:
    """One start of containerd, for the log."""

    at_s: float
    cause: str
    """`boot`, `agent`, `switch`, `auto`, `somebody`."""


@dataclass(slots=True)
class Service:
    """containerd.service."""

    name: str
    argv: tuple[str, ...]
    clock: clocks.Clock
    program: Program
    state: State = "inactive"
    pid: int = 0
    started_us: int = 0
    job: int = 0
    """Number of the newest restart job."""
    results: dict[int, str] = field(default_factory=dict)
    words: str = ""
    starts: list[Started] = field(default_factory=list)
    start_timeout_s: float = START_TIMEOUT_S
    _limit: list[float] = field(default_factory=list)
    _start: Start | None = None
    _at: float | None = None
    _pids: int = 1000

    def restart(self, cause: str) -> int:
        """Queue a restart as `systemctl restart` does; the number of the job."""
        if self.job not in self.results:
            self.results[self.job] = "canceled"
        self.job += 1
        self._stop()
        self._begin(cause)
        return self.job

    def reset_failed(self) -> None:
        self._limit.clear()
        if self.state == "failed":
            self.state = "inactive"

    def crash(self) -> None:
        """Lose the process, as by a signal."""
        self._stop()
        self.state, self._at = "auto-restart", self.clock.now + RESTART_S

    def _stop(self) -> None:
        if self.pid:
            self.program.end()
        self.pid, self._start, self._at = 0, None, None
        self.state = "inactive"

    def _begin(self, cause: str) -> None:
        now = self.clock.now
        self._limit = [at for at in self._limit if at > now - LIMIT_S]
        if len(self._limit) >= LIMIT_STARTS:
            self.state, self.words = "failed", "start request repeated too quickly"
            self.results[self.job] = "failed"
            return
        self._limit.append(now)
        self.starts.append(Started(now, cause))
        self._pids += 1
        self.pid, self.started_us = self._pids, round(now * 1e6)
        self._start = self.program.begin()
        self.state = "activating"
        hangs = self._start.outcome == "hang" or self._start.after_s > self.start_timeout_s
        self._at = now + (self.start_timeout_s if hangs else self._start.after_s)

    def due(self) -> float | None:
        return self._at

    def happen(self) -> None:
        start, at = self._start, self._at
        if self.state == "auto-restart":
            self._begin("auto")
        elif start is not None and at is not None:
            late = start.outcome == "hang" or start.after_s > self.start_timeout_s
            self._started(start, late=late)

    def _started(self, start: Start, *, late: bool) -> None:
        self._at = None
        if start.outcome == "ready" and not late:
            self.state = "active"
            self.results.setdefault(self.job, "done")
            self.program.serve()
            return
        self.words = "start operation timed out" if late else start.words
        self.results.setdefault(self.job, "timeout" if late else "failed")
        self.crash()


@dataclass(slots=True)
class Timer:
    """One armed switch: waits, then runs its commands."""

    name: str
    at: float
    commands: tuple[tuple[str, ...], ...]
    done: int = 0
    """How many commands have run."""
    job: int = 0
    """The restart it waits for."""


@dataclass(slots=True)
class Timers:
    """Every transient timer."""

    clock: clocks.Clock
    service: Service
    execute: Callable[[Sequence[str]], int]
    """Run one command; the number of a restart job to wait for, else 0."""
    waiting: dict[str, Timer] = field(default_factory=dict)
    firing: Timer | None = None
    fired: list[str] = field(default_factory=list)

    def due(self) -> float | None:
        if self.firing is not None:
            ended = not self.firing.job or self.firing.job in self.service.results
            return self.clock.now if ended else None
        return min((timer.at for timer in self.waiting.values()), default=None)

    def happen(self) -> None:
        if self.firing is None:
            timer = min(self.waiting.values(), key=lambda t: t.at)
            self.firing = self.waiting.pop(timer.name)
            self.fired.append(timer.name)
            return
        timer = self.firing
        if timer.done == len(timer.commands):
            self.firing = None
            return
        timer.done += 1
        timer.job = self.execute(timer.commands[timer.done - 1])
