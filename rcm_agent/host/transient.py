"""Running programs of the host as transient units, so that they run where and as they belong.

Called by `systemd.RealSystemd.run`. A program's output goes into memory files of ours, which
travel to systemd as descriptors: nothing is written on the host. Of an agent that is killed
meanwhile, an ended unit stays in systemd's memory; the next agent drops it. (Output to named files would need systemd 248; descriptors work from 233 on.)

    we                      systemd                        the program
    memfd_create 2x ──fds──▶ StartTransientUnit ──exec──▶  writes
    JobRemoved ◀──────────── oneshot has ended
    Result, Status ◀──────── unit stays (RemainAfterExit)
    StopUnit ──────────────▶ whatever it forked is killed, the unit is dropped
"""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rcm_agent import errors, ports
from rcm_agent.host import dbus, units

PREFIX = "rcm-run-"

OUTPUT_BYTES = 1 << 20
"""Most that is read of each output. A dump of a 1,000-line configuration has 40 KB."""

FILE_BYTES = 16 << 20
"""Most that the program may write into one file: bounds the memory that its output takes."""

_GRACE_S = 10.0
"""Between systemd's deadline for the program and ours for systemd; a guess."""

_NEVER, _EXITED = 0, 1
"""Of ExecMainCode: it never ran, CLD_EXITED; the others mean a signal."""

_STALE_S = 60.0
"""A unit of ours that ended so long ago belongs to an agent that was killed. A guess."""

_SETUP = range(200, 246)
"""Exit statuses with which systemd reports that it could not start a program (systemd.exec(5))."""

_REASONS = {
    203: "it is missing, not executable, on a noexec mount, for another machine, "
    "or its interpreter or loader is missing",
    208: "standard input could not be set up",
    209: "standard output could not be set up",
}


@dataclass(frozen=True, slots=True)
class _End:
    """How a unit's program ended."""

    result: str
    code: int
    status: int


@dataclass(frozen=True, slots=True)
class Output:
    """An open file that takes a program's output, instead of our memory."""

    handle: int
    limit_bytes: int


def run(
    bus: dbus.Bus,
    argv: Sequence[str],
    *,
    timeout_s: float,
    path: str,
    output: Output | None = None,
) -> ports.Completed:
    """Run a program to its end; what it forked ends with it.

    Raises:
        UnitError: it could not be started, or was not done in time (and was killed).
    """
    name = f"{PREFIX}{secrets.token_hex(6)}.service"
    out = os.memfd_create("stdout", os.MFD_CLOEXEC)
    err = os.memfd_create("stderr", os.MFD_CLOEXEC)
    try:
        properties = _properties(
            argv, Output(out, FILE_BYTES) if output is None else output, err=err, path=path
        )
        properties = [*properties, ("TimeoutStartUSec", ("t", round(timeout_s * 1_000_000)))]
        try:
            units.start_transient(bus, name, properties, timeout_s=timeout_s + _GRACE_S)
            end = _end(bus, name)
        finally:
            _clear(bus, name)
        return _completed(argv, end, _content(out), _content(err), timeout_s=timeout_s)
    finally:
        os.close(out)
        os.close(err)


def drop_stale(bus: dbus.Bus) -> None:
    """Drop what killed agents left: units that have ended, and whatever they forked."""
    now_us = time.monotonic() * 1e6
    for name, state in units.matching(bus, f"{PREFIX}*.service").items():
        path = units.loaded(bus, name)
        if path is None or state == "activating":
            continue
        ended_us = bus.get(path, "Unit", "StateChangeTimestampMonotonic")
        if 0 < ended_us < now_us - _STALE_S * 1e6:  # 0: about to start
            _clear(bus, name)


def _properties(argv: Sequence[str], output: Output, *, err: int, path: str) -> units.Properties:
    properties: list[tuple[str, tuple[str, object]]] = [
        ("Description", ("s", errors.clip("runtime-class-manager runs " + " ".join(argv)))),
        ("Type", ("s", "oneshot")),
        ("RemainAfterExit", ("b", True)),
        ("ExecStart", ("a(sasb)", [units.command(argv)])),
        ("StandardOutputFileDescriptor", ("h", output.handle)),
        ("StandardErrorFileDescriptor", ("h", err)),
        # No SIGTERM first: these programs only look, and a hanging one must not cost more time.
        ("KillSignal", ("i", int(signal.SIGKILL))),
        ("LimitFSIZE", ("t", output.limit_bytes)),
    ]
    if path:
        properties.append(("Environment", ("as", [f"PATH={path}"])))
    return properties


def _end(bus: dbus.Bus, name: str) -> _End:
    unit = units.loaded(bus, name)
    if unit is None:
        raise errors.UnitError(
            f"systemd dropped {name} before its result was read",
            advice="run the command again",
        )
    return _End(
        result=bus.get(unit, "Service", "Result"),
        code=bus.get(unit, "Service", "ExecMainCode"),
        status=bus.get(unit, "Service", "ExecMainStatus"),
    )


def _clear(bus: dbus.Bus, name: str) -> None:
    """Leave no unit and no process behind; a failure here must not hide the first one."""
    try:
        units.stop(bus, name)
        units.forget(bus, name)
    except errors.UnitError:
        return


def _content(descriptor: int) -> bytes:
    # pread: the program shares our file offset.
    return os.pread(descriptor, OUTPUT_BYTES, 0)


def _completed(
    argv: Sequence[str], end: _End, out: bytes, err: bytes, *, timeout_s: float
) -> ports.Completed:
    if end.result == "timeout":
        raise errors.UnitError(
            f"{argv[0]} was not done after {timeout_s:g} s and was killed",
            advice="run it by hand on the host to see why it hangs: " + errors.clip(" ".join(argv)),
        )
    if end.code == _NEVER:
        raise errors.UnitError(
            f"systemd did not start {argv[0]}: result {end.result!r}",
            advice="see whether the host is shutting down: systemctl list-jobs",
        )
    if end.code != _EXITED:
        return ports.Completed(exit_code=-end.status, stdout=out, stderr=err)
    if end.status in _SETUP and not out and not err:
        reason = _REASONS.get(end.status, f"systemd reports status {end.status}")
        raise errors.UnitError(
            f"the host cannot run {argv[0]}: {reason}",
            advice=f"check that file on the host, and that its machine is the host's: {argv[0]}",
        )
    return ports.Completed(exit_code=end.status, stdout=out, stderr=err)
