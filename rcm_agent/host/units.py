"""What `systemd`, `transient` and `switch` all need of the manager: find a unit, do a job.

Everything here works on an open `dbus.Bus`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rcm_agent import errors
from rcm_agent.host import dbus

NO_SUCH_UNIT = dbus.NAME + ".NoSuchUnit"

Properties = Sequence[tuple[str, tuple[str, Any]]]
"""Of a transient unit: name, then D-Bus signature and value."""

RESULT = 3
"""Where JobRemoved has the job's result: after its number, its path and the unit."""

STOP_S = 30.0
"""Longest wait for a unit of ours to stop; they are killed at once, so it takes milliseconds."""


def loaded(bus: dbus.Bus, name: str) -> str | None:
    """Return the object path of a unit in systemd's memory, None when it is not there."""
    try:
        path = bus.ask("GetUnit", "s", name)
    except dbus.CallRefused as error:
        if error.name == NO_SUCH_UNIT:
            return None
        raise
    return str(path)


def matching(bus: dbus.Bus, *patterns: str, states: Sequence[str] = ()) -> Mapping[str, str]:
    """Return active states by name of the units in memory whose name matches a glob.

    With `states`, only of units in one of these.
    """
    rows = bus.ask("ListUnitsByPatterns", "asas", list(states), list(patterns))
    try:
        return {row[0]: row[3] for row in rows}
    except (TypeError, IndexError) as error:
        raise bus.nonsense(error) from error


def start_transient(
    bus: dbus.Bus,
    name: str,
    properties: Properties,
    *,
    auxiliary: Sequence[tuple[str, Properties]] = (),
    timeout_s: float,
) -> str:
    """Create and start a unit that lives until it stops or the host does; the job's result.

    Raises:
        UnitError: systemd refused, or the job is not done in time.
    """
    # "fail": the name is new, so there is no job to replace.
    body = (name, "fail", list(properties), [(other, list(more)) for other, more in auxiliary])
    job = bus.ask("StartTransientUnit", "ssa(sv)a(sa(sv))", *body)
    return finish(bus, job, what=f"start {name}", timeout_s=timeout_s)


def stop(bus: dbus.Bus, name: str) -> None:
    """Stop a unit; one that is not there any more is fine."""
    try:
        job = bus.ask("StopUnit", "ss", name, "replace")
    except dbus.CallRefused as error:
        if error.name == NO_SUCH_UNIT:
            return
        raise
    finish(bus, job, what=f"stop {name}", timeout_s=STOP_S)


def forget(bus: dbus.Bus, name: str) -> None:
    """Forget a unit's failure, so that systemd can drop it; one that is gone is fine."""
    try:
        bus.call("ResetFailedUnit", "s", name)
    except dbus.CallRefused as error:
        if error.name != NO_SUCH_UNIT:
            raise


def finish(bus: dbus.Bus, job: str, *, what: str, timeout_s: float) -> str:
    """Wait for a job's end and return its result: `done`, `failed`, `timeout`, ….

    Raises:
        UnitError: it is not done in time; systemd goes on with it.
    """
    begun = time.monotonic()
    ended = bus.wait_signal(
        wanted=lambda body: len(body) > RESULT and body[1] == job, timeout_s=timeout_s
    )
    if ended is None:
        raise errors.UnitError(
            f"cannot {what}: not done after {time.monotonic() - begun:.0f} s",
            advice="systemd goes on trying; see systemctl list-jobs and the unit's journal",
        )
    return str(ended[RESULT])


def command(argv: Sequence[str], *, may_fail: bool = False) -> tuple[str, list[str], bool]:
    """Return a program in ExecStart's form: path, arguments, and whether failure is ignored.

    systemd replaces `$NAME` in arguments: `$$` stands for itself. A name without a directory is
    looked up by env(1), as systemd before 246 takes absolute paths only.
    """
    words = list(argv) if argv[0].startswith("/") else ["/usr/bin/env", "--", *argv]
    return words[0], [word.replace("$", "$$") for word in words], may_fail
