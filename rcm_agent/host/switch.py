"""The dead man's switch: a timer of systemd that undoes our work unless we come back to stop it.

Called by `systemd.RealSystemd.arm` and `disarm`. The timer and its service live in systemd alone:
our death, containerd's restart and a reload of systemd do not touch them; a reboot removes both.

    armed      NAME.<random>.timer is active, its service is not in memory
    firing     the service is activating: commands run one after the other
    fired      the service stays active (RemainAfterExit) until disarm or the next arm clears it

Each arm has a random part in its names: systemd may still hold a unit of the last one.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Sequence

from rcm_agent import errors
from rcm_agent.host import dbus, units

FIRING_S = 150.0
"""Longest wait for commands that already run: a restart of containerd may use up systemd's start
timeout of 90 s, and each side of it takes seconds."""

_ARM_S = 10.0
_ACCURACY_US = 100_000
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def arm(bus: dbus.Bus, name: str, *, delay_s: float, commands: Sequence[Sequence[str]]) -> None:
    """Start the timer; an older one of that name is taken back once the new one waits.

    Raises:
        UnitError: the timer does not run.
    """
    stem = f"{_checked(name)}.{secrets.token_hex(4)}"
    older = _stems(bus, name)
    result = units.start_transient(
        bus,
        stem + ".timer",
        _timer(name, delay_s),
        auxiliary=[(stem + ".service", _service(name, commands))],
        timeout_s=_ARM_S,
    )
    if result != "done":
        raise errors.UnitError(
            f"cannot arm the timer {stem}: job result {result!r}",
            advice="see systemctl status of that timer on the host",
        )
    for stale in older:
        _take_back(bus, stale)


def disarm(bus: dbus.Bus, name: str) -> bool:
    """Stop the timer; False when it has fired or never was. Commands that run are waited for.

    Raises:
        UnitError: they are still running after `FIRING_S`.
    """
    waited = [_take_back(bus, stem) for stem in _stems(bus, _checked(name))]
    return bool(waited) and all(waited)


def _take_back(bus: dbus.Bus, stem: str) -> bool:
    """Stop one timer and return whether it had not fired."""
    units.stop(bus, stem + ".timer")
    # From here on it cannot fire; but it may have.
    service = stem + ".service"
    if not _fired(bus, service):
        return True
    _wait_until_done(bus, service)
    units.stop(bus, service)
    units.forget(bus, service)
    return False


def _fired(bus: dbus.Bus, service: str) -> bool:
    path = units.loaded(bus, service)
    if path is None:
        return False
    return _queued(bus, path) or bus.get(path, "Unit", "ActiveState") != "inactive"


def _wait_until_done(bus: dbus.Bus, service: str) -> None:
    deadline = time.monotonic() + FIRING_S
    while _running(bus, service):
        ended = bus.wait_signal(
            wanted=lambda body: body[2:3] == (service,),
            timeout_s=deadline - time.monotonic(),
        )
        if ended is None:
            raise errors.UnitError(
                f"{service} has been putting things back for {FIRING_S:.0f} s",
                advice=f"see what it waits for on the host: systemctl status {service}",
            )


def _running(bus: dbus.Bus, service: str) -> bool:
    path = units.loaded(bus, service)
    if path is None:
        return False
    return _queued(bus, path) or bus.get(path, "Unit", "ActiveState") == "activating"


def _queued(bus: dbus.Bus, path: str) -> bool:
    job, _ = bus.get(path, "Unit", "Job")
    return bool(job)


def _stems(bus: dbus.Bus, name: str) -> list[str]:
    """Names without their ending of every switch of that name, waiting or fired."""
    found = units.matching(bus, f"{name}.????????.*")
    return sorted({unit.rpartition(".")[0] for unit in found})


def _timer(name: str, delay_s: float) -> units.Properties:
    return [
        (
            "Description",
            ("s", f"runtime-class-manager's switch {name}: undoes an unfinished change"),
        ),
        ("TimersMonotonic", ("a(st)", [("OnActiveSec", round(delay_s * 1_000_000))])),
        ("AccuracyUSec", ("t", _ACCURACY_US)),
        ("RemainAfterElapse", ("b", False)),
    ]


def _service(name: str, commands: Sequence[Sequence[str]]) -> units.Properties:
    lines = [units.command(command, may_fail=True) for command in commands]
    return [
        (
            "Description",
            ("s", f"runtime-class-manager's switch {name} undoes an unfinished change"),
        ),
        ("Type", ("s", "oneshot")),
        ("RemainAfterExit", ("b", True)),
        ("ExecStart", ("a(sasb)", lines)),
    ]


def _checked(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"not a name for a switch: {name!r}")
    return name
