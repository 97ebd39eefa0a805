"""Every point at which an agent may die, as copies of the host.

    for point in explore.points(host, apply):      # one run, one copy per distinct state
        agent.recover(point.host.ports)

`points` takes a copy after each effect and in the middle of those that have one (a half written
file, a restart under way, a sandbox whose id nobody got). Copies that equal an earlier one are
dropped: what the agent does next depends on the host alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from rcm_agent import ports
from tests.fakes.host import FakeHost


@dataclass(frozen=True, slots=True)
class Point:
    """A host on which the agent has just died."""

    label: str
    host: FakeHost
    print: bytes


def points(
    host: FakeHost,
    run: Callable[[ports.Host], object],
    *,
    seen: set[bytes] | None = None,
) -> list[Point]:
    """Run an agent on `host` to its end and return where it may die before that.

    States in `seen` are left out, and those found are added.
    """
    known = set() if seen is None else seen
    found: list[Point] = []

    def watch(label: str) -> None:
        if is_new(host, known):
            found.append(Point(label, host.fork(), fingerprint(host)))

    host.kill()
    host.watch = watch
    try:
        run(host.ports)
    finally:
        host.watch = None
        host.kill()
    return found


def is_new(host: FakeHost, seen: set[bytes]) -> bool:
    """Tell whether no equal host is in `seen`, and put it there."""
    mark = fingerprint(host)
    if mark in seen:
        return False
    seen.add(mark)
    return True


def fingerprint(host: FakeHost) -> bytes:
    """Return a digest of all that can make a difference later; times count relative to now."""
    total = hashlib.blake2b(digest_size=16)
    now = host.clock.now
    for path, inode in host.disk.tree():
        total.update(repr((path, inode.kind, inode.meta, inode.data)).encode())
        if inode.durable_entries != inode.entries or inode.durable != inode.data:
            stale = sorted(set(inode.durable_entries.items()) ^ set(inode.entries.items()))
            total.update(repr((inode.durable, inode.versions, stale)).encode())
    service, daemon, timers = host.service, host.daemon, host.timers
    total.update(repr(host.disk.pending).encode())
    total.update(repr((service.state, service.pid, _ago(service.due(), now))).encode())
    total.update(repr(sorted(_ago(at, now) or 0 for at in service._limit)).encode())
    total.update(repr((sorted(daemon.tasks), sorted(daemon.sandboxes.items()))).encode())
    total.update(repr((daemon.up, daemon.mood, daemon.quirks, sorted(daemon.leaked))).encode())
    total.update(repr(daemon.loaded and sorted(daemon.loaded.runtimes)).encode())
    waiting = [(t.name, _ago(t.at, now), t.commands) for t in timers.waiting.values()]
    total.update(repr((waiting, timers.firing, host.boot)).encode())
    return total.digest()


def _ago(at: float | None, now: float) -> float | None:
    return None if at is None else round(at - now, 1)
