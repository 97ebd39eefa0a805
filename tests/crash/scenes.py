"""What the agent does in the crash tests: installs, upgrades, fails and removes, on two hosts.

A `Scene` is a host, ready, a command to run on it, and the states that it may end in. Hosts are
prepared once and copied. `SCENES` are parameters for tests, built when `get` is asked.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest

from rcm_agent import apply, errors, ports, remove, report, session, settings
from rcm_agent.work import Work
from rcm_api import shim as shims
from tests.fakes import daemon, explore, invariants
from tests.fakes import shims as binaries
from tests.fakes.host import FakeHost

HANDLER = "wasmtime"
NAME = "wasmtime-v1"
GOOD_1 = binaries.binary("GOOD", "v1")
GOOD_2 = binaries.binary("GOOD", "v2")
CRASH = binaries.binary("CRASH", "v3")
SHA = {data: hashlib.sha256(data).hexdigest() for data in (GOOD_1, GOOD_2, CRASH)}
VERIFIED = frozenset(SHA.values())

OLD_TABLE = 'plugins."io.containerd.grpc.v1.cri"'
NEW_TABLE = 'plugins."io.containerd.cri.v1.runtime"'
RUNC = """
  [{table}.containerd]
    default_runtime_name = "runc"  # the usual one
    [{table}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [{table}.containerd.runtimes.runc.options]
        SystemdCgroup = true
"""
CONFIGS: Mapping[str, bytes] = {
    "1.7.24": f"""# managed by hand
version = 2
[{OLD_TABLE}]
  sandbox_image = "registry.k8s.io/pause:3.9"
{RUNC.format(table=OLD_TABLE)}""".encode(),
    "2.3.4": f"""# managed by hand
version = 3
{RUNC.format(table=NEW_TABLE)}""".encode(),
}
Act = Callable[[ports.Host], object]
CHOSEN = settings.Settings(config="", unit="")


@dataclass(frozen=True, slots=True)
class Scene:
    """One command on one host."""

    name: str
    version: str
    host: FakeHost
    """Ready; work on a `fork()`."""
    act: Act
    good: tuple[Mapping[str, str], ...]
    """What may be there once an agent has run to its end, of whatever kind."""
    goal: Mapping[str, str]
    """What is there after the command when nothing goes wrong."""
    restarts: int
    """Most restarts of containerd when nobody dies."""
    unproven: tuple[Mapping[str, str], ...] = ()
    """What may also boot after a power cut, until an agent comes.

    A known weakness: an upgrade swaps the link before the proof, because the proof needs it, and
    the power takes the switch along that would swap it back. Only a new version that answers `-v`
    and then starts no sandbox is concerned, and only new pods of that Shim.
    """

    def before(self) -> invariants.Before:
        return invariants.look(self.host)

    def broken(
        self, host: FakeHost, *, booted: bool = False, restarts: int | None = None
    ) -> list[str]:
        """Return what is wrong; `booted`: after a power cut, and no agent has come back yet.

        A command that restarts nothing restarts nothing when it dies or fails either, nor does
        the switch for it.
        """
        restarts = restarts if self.restarts else 0
        good = (*self.good, *self.unproven) if booted else self.good
        before = self.before()
        return invariants.broken(host, before, good=good, verified=VERIFIED, restarts=restarts)

    def again(self, host: ports.Host) -> None:
        """Run the command once more; what was removed already needs no removing."""
        with contextlib.suppress(errors.ManifestError):
            self.act(host)

    def unfinished(self, host: FakeHost) -> list[str]:
        """Let a new agent recover, and return what is wrong then."""
        try:
            recover(host.ports)
        except errors.AgentError as error:
            return [f"recovery failed: {type(error).__name__}: {error}"]
        finally:
            host.kill()
        found = self.broken(host) + [f"left behind: {what}" for what in invariants.leftovers(host)]
        if remembered(host) != invariants.serves(host):
            found.append(f"the journal remembers {remembered(host)}")
        return found


def manifest(data: bytes, *, sha256: str = "") -> shims.Shim:
    """Return a Shim whose artifact lies on the host."""
    return shims.parse(
        {
            "apiVersion": "runtime.spinkube.dev/v1alpha1",
            "kind": "Shim",
            "metadata": {"name": NAME},
            "spec": {
                "fetchStrategy": {
                    "platforms": [
                        {
                            "os": "linux",
                            "arch": "amd64",
                            "location": f"file://{place(data)}",
                            "sha256": sha256 or SHA[data],
                        }
                    ]
                },
                "runtimeClass": {"name": NAME, "handler": HANDLER},
            },
        }
    )


def place(data: bytes) -> str:
    return f"/srv/{SHA[data][:8]}/containerd-shim-wasmtime-v1"


@contextlib.contextmanager
def opened(host: ports.Host) -> Iterator[Work]:
    site = session.locate(host, CHOSEN)
    with session.opened(host, site, chosen=CHOSEN, tell=report.Silent()) as work:
        yield work


def install(data: bytes) -> Act:
    def act(host: ports.Host) -> None:
        with opened(host) as work:
            apply.apply(work, [manifest(data)])

    return act


def refused(data: bytes) -> Act:
    """Install a shim that does not work: everything is put back.

    After a kill or two the budget of restarts may be spent: nothing is tried then.
    """

    def act(host: ports.Host) -> None:
        with pytest.raises((errors.RolledBack, errors.BudgetSpent)):
            install(data)(host)

    return act


def uninstall(host: ports.Host) -> None:
    with opened(host) as work:
        remove.remove(work, [NAME])


def pending(host: FakeHost) -> bool:
    """Tell whether the journal names an operation."""
    text = host.disk.get(settings.JOURNAL)
    return text is not None and json.loads(text)["operation"] is not None


def remembered(host: FakeHost) -> dict[str, str]:
    """Return our handlers with the SHA-256 of their binary, as the journal has them."""
    text = host.disk.get(settings.JOURNAL)
    installed_ = json.loads(text)["current"]["shims"] if text is not None else []
    return {shim["handler"]: shim["binary"] for shim in installed_}


def recover(host: ports.Host) -> str:
    with opened(host) as work:
        return session.recover(work)


@functools.cache
def bare(version: str) -> FakeHost:
    """Return a host with pods and without us."""
    files = {place(data): data for data in SHA}
    host = FakeHost(version, config=CONFIGS[version], files=files)
    host.daemon.add(daemon.Task("web", name="default/web/nginx", sandbox="pod-1"))
    host.daemon.sandboxes["pod-1"] = ("default/web", "runc", True)
    return host


@functools.cache
def installed(version: str) -> FakeHost:
    """Return a host with our shim, and a container of it."""
    host = bare(version).fork()
    install(GOOD_1)(host.ports)
    host.kill()
    host.pass_time(3600)
    return host


NONE: Mapping[str, str] = {}
ONE = {HANDLER: SHA[GOOD_1]}
TWO = {HANDLER: SHA[GOOD_2]}


def first(version: str) -> Scene:
    return Scene("install", version, bare(version), install(GOOD_1), (NONE, ONE), ONE, 1)


def upgrade(version: str) -> Scene:
    return Scene("upgrade", version, installed(version), install(GOOD_2), (ONE, TWO), TWO, 0)


def failed(version: str) -> Scene:
    return Scene("failed install", version, bare(version), refused(CRASH), (NONE,), NONE, 2)


def failed_upgrade(version: str) -> Scene:
    return Scene(
        "failed upgrade",
        version,
        installed(version),
        refused(CRASH),
        (ONE,),
        ONE,
        0,
        unproven=({HANDLER: SHA[CRASH]},),
    )


def removal(version: str) -> Scene:
    return Scene("removal", version, installed(version), uninstall, (ONE, NONE), NONE, 1)


MAKERS = (first, upgrade, failed, failed_upgrade, removal)
SCENES = [
    pytest.param((make, version), id=f"{make.__name__} {version}")
    for version in CONFIGS
    for make in MAKERS
]


@functools.cache
def get(make: Callable[[str], Scene], version: str) -> Scene:
    return make(version)


@functools.cache
def _points(make: Callable[[str], Scene], version: str) -> tuple[explore.Point, ...]:
    scene = get(make, version)
    return tuple(explore.points(scene.host.fork(), scene.act))


def points(make: Callable[[str], Scene], version: str) -> tuple[explore.Point, ...]:
    """Return every point at which the scene's agent may die; work on forks of their hosts."""
    return _points(make, version)
