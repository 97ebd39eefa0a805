"""The host's service manager (`ports.Systemd`) over its private socket.

Called by `look`, `probe` and `run`. Every operation is one conversation (`dbus.Bus`); programs
are `transient`'s business, the dead man's switch is `switch`'s.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Generator, Sequence
from concurrent import futures
from typing import Any

from rcm_agent import errors, ports
from rcm_agent.host import dbus, switch, transient, units

_LAST_WORDS_S = 5.0
"""For journalctl; best effort, so short."""

_LINES = 50
"""Of the journal that last words are looked for in; a guess."""

_RUNNING = ("active", "activating", "reloading")

_LOUD = ("level=fatal", "level=error", "containerd: ", "panic: ")
"""How containerd's lines of failure begin or what they hold; `containerd: ` comes last of all."""


class RealSystemd:
    """systemd behind a private socket."""

    def __init__(self, socket: str = dbus.SOCKET, *, patience_s: float = dbus.CALL_S) -> None:
        """Serve the systemd that listens on `socket` (a path in our own file system).

        `patience_s` is for each answer of systemd, not for what it was told to do.
        """
        self._socket = socket
        self._patience_s = patience_s
        self._swept = False

    def _bus(self) -> dbus.Bus:
        return dbus.Bus(self._socket, patience_s=self._patience_s)

    def unit(self, name: str) -> ports.Unit:
        """Return the unit's state; asking for one that does not exist leaves nothing loaded."""
        with self._bus() as bus:
            path = _find(bus, name)
            if path is None:
                return _missing(name)
            return _look(bus, name, path)

    def active(self, names: Sequence[str]) -> frozenset[str]:
        """Return those of the units that run, or are about to."""
        with self._bus() as bus:
            return frozenset(units.matching(bus, *names, states=_RUNNING))

    def restart(self, name: str, *, timeout_s: float) -> None:
        """Restart and wait until the job is done.

        Raises:
            UnitError: it failed, with containerd's own last words where the journal has them, or
                is not done in time; systemd goes on with it then.
        """
        begun = time.monotonic()
        with self._bus() as bus:
            job = bus.ask("RestartUnit", "ss", name, "replace")
            result = units.finish(bus, job, what=f"restart {name}", timeout_s=timeout_s)
            if result == "done":
                return
            reason = _result(bus, name)
        words = self.last_words(name, since=begun)
        told = f"; it said: {words}" if words else ""
        raise errors.UnitError(
            f"cannot restart {name}: job result {result!r}{reason}{told}",
            advice=f"see what it says: journalctl -u {name} -n 50",
        )

    def reset_failed(self, name: str) -> None:
        """Forget failures and the start limit; a unit that is not loaded has neither."""
        with self._bus() as bus:
            units.forget(bus, name)

    def run(self, argv: Sequence[str], *, timeout_s: float, path: str = "") -> ports.Completed:
        """Run a program of the host to its end."""
        self._sweep_once()
        with self._bus() as bus:
            return transient.run(bus, argv, timeout_s=timeout_s, path=path)

    def run_into(
        self, handle: int, argv: Sequence[str], *, timeout_s: float, limit_bytes: int
    ) -> ports.Completed:
        """Run a program whose output goes into an open file of ours, and is cut at `limit_bytes`.

        A program that would write more is ended by a signal.
        """
        self._sweep_once()
        with self._bus() as bus:
            output = transient.Output(handle, limit_bytes)
            return transient.run(bus, argv, timeout_s=timeout_s, path="", output=output)

    def run_all(
        self, programs: Sequence[Sequence[str]], *, timeout_s: float
    ) -> tuple[ports.Completed, ...]:
        """Run programs side by side, each to its end."""
        with self.running(programs, timeout_s=timeout_s) as ended:
            return ended()

    @contextlib.contextmanager
    def running(
        self, programs: Sequence[Sequence[str]], *, timeout_s: float
    ) -> Generator[Callable[[], tuple[ports.Completed, ...]]]:
        """Run programs, each in a thread and a conversation of its own."""
        self._sweep_once()
        run = functools.partial(self.run, timeout_s=timeout_s)
        with futures.ThreadPoolExecutor(len(programs)) as pool:
            ends = pool.map(run, programs)
            yield lambda: tuple(ends)

    def _sweep_once(self) -> None:
        """Drop what killed agents left, before anything of ours runs that could look like it."""
        if not self._swept:
            self._swept = True
            with self._bus() as bus:
                transient.drop_stale(bus)

    def arm(self, name: str, *, delay_s: float, commands: Sequence[Sequence[str]]) -> None:
        """Run `commands` one after the other in `delay_s` seconds, whatever becomes of us."""
        with self._bus() as bus:
            switch.arm(bus, name, delay_s=delay_s, commands=commands)

    def disarm(self, name: str) -> bool:
        """Take back `arm`; False when nothing of that name waits any more."""
        with self._bus() as bus:
            return switch.disarm(bus, name)

    def last_words(self, name: str, *, since: float) -> str:
        """Return what a unit's own processes said last, best its last error; empty when unknown.

        `since` is a time of CLOCK_MONOTONIC in seconds, as in `Unit.started_us`.
        """
        began = time.time() - (time.monotonic() - since)
        argv = ["journalctl", "--no-pager", "-q", "-o", "cat", "-n", str(_LINES)]
        try:
            # What a process said just before it ended may still be on its way to the journal.
            self.run(["journalctl", "--sync"], timeout_s=_LAST_WORDS_S)
            said = self.run(
                [*argv, f"--since=@{began:.6f}", f"_SYSTEMD_UNIT={name}"], timeout_s=_LAST_WORDS_S
            )
        except errors.UnitError:
            return ""
        return _loudest(said.stdout.decode(errors="replace"))


def _find(bus: dbus.Bus, name: str) -> str | None:
    """Return the unit's object; only a unit that has a file is loaded for that."""
    path = units.loaded(bus, name)
    if path is not None:
        return path
    try:
        bus.call("GetUnitFileState", "s", name)
    except dbus.CallRefused:
        return None
    path = bus.ask("LoadUnit", "s", name)
    return str(path)


def _missing(name: str) -> ports.Unit:
    return ports.Unit(
        name=name,
        load_state="not-found",
        active_state="inactive",
        main_pid=0,
        started_us=0,
        argv=(),
    )


def _look(bus: dbus.Bus, name: str, path: str) -> ports.Unit:
    service = name.endswith(".service")
    commands: list[Any] = bus.get(path, "Service", "ExecStart") if service else []
    return ports.Unit(
        name=name,
        load_state=bus.get(path, "Unit", "LoadState"),
        active_state=bus.get(path, "Unit", "ActiveState"),
        main_pid=bus.get(path, "Service", "MainPID") if service else 0,
        started_us=bus.get(path, "Service", "ExecMainStartTimestampMonotonic") if service else 0,
        argv=tuple(commands[0][1]) if commands else (),
    )


def _result(bus: dbus.Bus, name: str) -> str:
    """Return the unit's own reason as the tail of a sentence."""
    path = units.loaded(bus, name)
    if path is None or not name.endswith(".service"):
        return ""
    return f", unit result {bus.get(path, 'Service', 'Result')!r}"


def _loudest(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    loud = [line for line in lines if any(mark in line for mark in _LOUD)]
    return errors.clip((loud or lines or [""])[-1])
