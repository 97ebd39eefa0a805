"""What must be true of a host once the dust has settled (design §6), as a list of what is broken.

    before = invariants.look(host)
    ... an agent works, dies, the power goes ...
    assert invariants.broken(host, before, good=[{}, {"wasmtime": sha}], verified={sha}) == []

`good` are the states that the host may be in, each as our handlers with the SHA-256 of the binary
that containerd would execute for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.fakes import config, daemon, schema
from tests.fakes.host import FakeHost

Ours = Mapping[str, str]
TEMPORARY = ".rcm-tmp"


@dataclass(frozen=True, slots=True)
class Before:
    """What a test remembers of a host."""

    effective: Mapping[str, Any]
    """The configuration without our runtimes."""
    handlers: frozenset[str]
    """Those that are not ours."""
    tasks: frozenset[str]
    starts: int
    boot: int


def look(host: FakeHost) -> Before:
    """Remember a healthy host."""
    loaded = host.daemon.loaded
    assert loaded is not None
    return Before(
        effective=without_ours(loaded),
        handlers=frozenset(loaded.runtimes) - daemon.ours(loaded),
        tasks=frozenset(host.daemon.tasks),
        starts=len(host.service.starts),
        boot=host.boot,
    )


def without_ours(loaded: config.Loaded) -> Mapping[str, Any]:
    """Return an effective configuration without our runtimes and without the list of files."""
    mine = daemon.ours(loaded)
    where = schema.OLD if loaded.release < (2,) else schema.RUNTIME
    cri = loaded.plugins[where]
    theirs = {name: table for name, table in loaded.runtimes.items() if name not in mine}
    containerd = {**cri["containerd"], "runtimes": theirs}
    plugins = {**loaded.plugins, where: {**cri, "containerd": containerd}}
    return {**loaded.top, "plugins": plugins}


def ours(host: FakeHost, loaded: config.Loaded) -> dict[str, str]:
    """Return our handlers with the SHA-256 of what containerd would execute."""
    found = {}
    for handler in sorted(daemon.ours(loaded)):
        data = host.disk.get(daemon.shim(loaded.runtimes[handler]))
        found[handler] = "" if data is None else hashlib.sha256(data).hexdigest()
    return found


def serves(host: FakeHost) -> dict[str, str]:
    """Return our handlers that a pod could use now, with what would be executed."""
    loaded = host.daemon.loaded
    assert loaded is not None
    found = ours(host, loaded)
    return {handler: sha for handler, sha in found.items() if handler in host.daemon.handlers}


def broken(
    host: FakeHost,
    before: Before,
    *,
    good: Collection[Ours],
    verified: Collection[str],
    restarts: int | None = None,
    stopped: Collection[str] = (),
) -> list[str]:
    """Return every invariant that does not hold, in words.

    `restarts`: most that the agent and its switch may have caused. `stopped`: containers that the
    owner allowed to end.
    """
    found = [*_unhealthy(host, before), *_changed(host, before, good)]
    found += _lost(host, before, stopped)
    found += [f"executed unverified {path} {sha}" for path, sha in host.programs.executed
              if sha not in verified]  # fmt: skip
    count = caused(host, before)
    if restarts is not None and count > restarts:
        found.append(f"containerd was started {count} times, at most {restarts} are allowed")
    return found


def caused(host: FakeHost, before: Before) -> int:
    """Count the restarts that the agent or its switch caused since then, in this boot."""
    starts = host.service.starts[before.starts if host.boot == before.boot else 0 :]
    return sum(start.cause in {"agent", "switch"} for start in starts)


def _unhealthy(host: FakeHost, before: Before) -> Iterator[str]:
    if host.service.state != "active" or not host.daemon.up:
        yield f"containerd is {host.service.state}: {host.service.words}"
    elif host.daemon.cri_error or host.daemon.mood in {"not-ready", "mute"}:
        yield f"CRI is dead: {host.daemon.cri_error or host.daemon.mood}"
    elif not before.handlers <= host.daemon.handlers:
        yield f"handlers are missing: {sorted(before.handlers - host.daemon.handlers)}"


def _changed(host: FakeHost, before: Before, good: Collection[Ours]) -> Iterator[str]:
    """Compare both what runs and what the next start would read."""
    running = host.daemon.loaded
    try:
        on_disk = config.load(host.disk, host.daemon.path, host.daemon.release)
    except config.Unreadable as error:
        yield f"the configuration on disk is dead: {error}"
        return
    for place, loaded in (("running", running), ("on disk", on_disk)):
        if loaded is None:
            continue
        if loaded.cri_error:
            yield f"the configuration {place} kills CRI: {loaded.cri_error}"
        if without_ours(loaded) != before.effective:
            yield f"the configuration {place} differs in more than our runtimes"
        mine = serves(host) if place == "running" and not loaded.cri_error else ours(host, loaded)
        if mine not in list(good):
            yield f"our handlers {place} are {mine}"


def _lost(host: FakeHost, before: Before, stopped: Collection[str]) -> Iterator[str]:
    for task in host.daemon.tasks.values():
        if host.disk.get(task.shim) is None:
            yield f"the bundle of {task.id} names {task.shim}, which is not there"
    if host.boot != before.boot:
        return
    for name in sorted(before.tasks - set(host.daemon.tasks) - set(stopped)):
        why = [text for text in host.daemon.lost if text.startswith(f"{name}:")]
        yield f"running container {name} is gone {why}"


def leftovers(host: FakeHost) -> list[str]:
    """Return what no finished run of the agent may leave."""
    found = [path for path, _ in host.disk.tree() if path.endswith(TEMPORARY)]
    # An entry of the store that was not finished counts as absent; the next operation clears it.
    found = [path for path in found if not path.startswith("/opt/rcm/store/")]
    found += [path for path, _ in host.disk.tree("/run/rcm") if path.endswith(".toml")]
    found += [path for path, _ in host.disk.tree("/run/rcm/check")]
    found += [f"switch {name}" for name in host.timers.waiting]
    found += [f"process {pid} of {task.id}" for pid, task in host.daemon.leaked.items()]
    names = sorted(name for name, _, _ in host.daemon.sandboxes.values())
    return found + [f"sandbox {name}" for name in names if name.startswith("rcm")]
