"""SIGKILL for the agent at every step of every operation, on real nodes.

Each test has one host; the loop is in `killed.py`, inside the node. After each kill a command of
the agent must bring the host to a good state: the old one or the new one, and nothing in between.
"""

import collections.abc
import dataclasses

import pytest

from tests.containerd import support
from tests.containerd.support import NEW, OLD, Look, Outcome

pytestmark = [pytest.mark.node, pytest.mark.timeout(240)]

both_releases = pytest.mark.parametrize("release", ["1.7", "2.3"])

SIGKILL = -9
_RESTARTS = {"recover": 2, "apply": 3}
"""What was killed may have restarted containerd once; undoing that is another time, and `apply`
then begins anew."""


@dataclasses.dataclass(frozen=True, slots=True)
class Death:
    """One point, and the host after recovery.

    Attributes:
        point: For example "before restart".
        killed: How the run ended.
        recovered: What the next run of the agent came to.
        status: What `status` says then.
        look: The host then.
        led: The command that leads back to the start.
        after: The host then.
        starts: How often containerd was started by both runs.
    """

    point: str
    killed: int
    command: str
    recovered: Outcome
    status: dict
    look: Look
    led: Outcome
    after: Look
    starts: int

    @classmethod
    def of(cls, found: dict) -> "Death":
        """Return what `killed.py` told."""
        return cls(
            point=f"{found['when']} {found['point']}",
            killed=found["killed"]["code"],
            command=found["command"][0],
            recovered=Outcome.of(**found["recovered"]),
            status=found["status"],
            look=Look.of(found["look"]),
            led=Outcome.of(**found["led"]),
            after=Look.of(found["after"]),
            starts=found["starts"],
        )

    @property
    def versions(self) -> list[str]:
        """The installed Shims' versions."""
        return [shim["version"] for shim in self.status["shims"]]

    def problems(self, *, found: Look, good: collections.abc.Container[list[str]]) -> list[str]:
        """Say what is not as it must be."""
        said: list[str] = []
        if self.killed != SIGKILL:
            said.append(f"was not killed: {self.killed}")
        if self.recovered.code != 0:
            said.append(f"{self.command} failed: {self.recovered.code} {self.recovered.error}")
        if self.versions not in good:
            said.append(f"installed is {self.versions}")
        if self.starts > _RESTARTS[self.command]:
            said.append(f"containerd was started {self.starts} times")
        if self.led.code != 0:
            said.append(f"cannot go on: {self.led.code} {self.led.error}")
        said += self._ill()
        said += self._left()
        if not self.versions and self.look.config != found.config:
            said.append("nothing is installed, and the configuration is not the first one")
        return said

    def _ill(self) -> list[str]:
        said = [f"{s['name']}: {p}" for s in self.status["shims"] for p in s["problems"]]
        if self.status["pending"]:
            said.append(f"still pending: {self.status['pending']}")
        if self.status["containerd"] == "CRI does not answer":
            said.append("CRI does not answer")
        if self.versions and self.status["configuration"] != "as proven":
            said.append(f"configuration {self.status['configuration']}")
        return said

    def _left(self) -> list[str]:
        files = self.look.half_written if self.versions else self.look.remains
        return [*files, *self.look.units, *self.look.processes.values()]


RECOVER = ["recover"]


@both_releases
def test_an_install_killed_anywhere_ends_well(host: support.Host) -> None:
    manifest = host.manifest(OLD)
    apply = ["apply", "-f", manifest]
    found = host.look()
    with support.plain(host) as plain:
        points, deaths = _sweep(
            host, start=None, command=apply, recover=[RECOVER, apply, apply, RECOVER]
        )

        assert plain.lives
    assert {point for _, point in points} == {
        *("prepare", "attach", "arm", "link", "try", "restart", "verify", "prove"),
        *("disarm", "commit", "clean", "settle"),
    }
    assert _problems(deaths, found=found, good=[[], ["0.1.0"]]) == {}
    assert [d.point for d in deaths if d.after.config != found.config or d.after.remains] == []
    assert {tuple(d.versions) for d in deaths if d.command == "apply"} == {("0.1.0",)}
    proven = ("after disarm", "after commit", "after clean")
    assert {tuple(d.versions) for d in deaths if d.point in proven} == {("0.1.0",)}


@both_releases
def test_an_upgrade_killed_anywhere_ends_well(host: support.Host) -> None:
    host.apply(OLD)
    found = host.look()
    old = host.manifest(OLD, path="/root/old.yaml")
    apply = ["apply", "-f", host.manifest(NEW)]
    with support.plain(host) as plain, support.wasm(host) as guest:
        points, deaths = _sweep(
            host, start=old, command=apply, recover=[RECOVER, apply, apply, RECOVER]
        )

        assert guest.lives
        assert plain.lives
        assert {d.look.containerd for d in deaths} == {found.containerd}
    assert {p for _, p in points} == {
        *("prepare", "arm", "link", "prove", "disarm", "clean", "settle"),
    }
    # The guest's own processes are no leftovers.
    deaths = [
        dataclasses.replace(d, look=dataclasses.replace(d.look, processes={})) for d in deaths
    ]
    assert _problems(deaths, found=found, good=[["0.1.0"], ["0.2.0"]]) == {}
    assert {tuple(d.versions) for d in deaths if d.command == "apply"} == {("0.2.0",)}


@both_releases
def test_a_removal_killed_anywhere_ends_well(host: support.Host) -> None:
    found = host.look()
    manifest = host.manifest(OLD)
    remove = ["remove", "wasmtime"]
    with support.plain(host) as plain:
        points, deaths = _sweep(host, start=manifest, command=remove, recover=[RECOVER])

        assert plain.lives
    assert {p for _, p in points} == {
        *("prepare", "arm", "try", "restart", "verify", "disarm", "commit", "clean", "settle"),
    }
    assert _problems(deaths, found=found, good=[[], ["0.1.0"]]) == {}
    assert host.remove("wasmtime").code == 0
    after = host.look()
    assert (after.config, after.remains) == (found.config, [])


@both_releases
def test_an_undoing_killed_anywhere_ends_well(host: support.Host) -> None:
    """The install fails at its proof; the kill comes while it is undone."""
    found = host.look()
    broken = support.Shim(variant="start-fails")
    apply = ["apply", "-f", host.manifest(broken)]
    with support.plain(host) as plain:
        _, deaths = _sweep(host, start=None, command=apply, recover=[RECOVER], only="undo.")

        assert plain.lives
    assert len(deaths) >= 6
    assert _problems(deaths, found=found, good=[[]]) == {}


def _sweep(
    host: support.Host, *, recover: list[list[str]], **spec: object
) -> tuple[list[tuple[str, str]], list[Death]]:
    # After one step and before the next, the host is the same and the journal is not. Both are
    # killed on one release; the simulated host has all points of all of them.
    whens = ["before", "after"] if host.node.containerd == "2.3" else ["after"]
    first, *found = host.sweep(timeout_s=230, recover=recover, whens=whens, **spec)
    return [tuple(point) for point in first["points"]], [Death.of(one) for one in found]


def _problems(deaths: list[Death], **expected: object) -> dict[str, list[str]]:
    found = {f"{d.point}, then {d.command}": d.problems(**expected) for d in deaths}
    return {point: problems for point, problems in found.items() if problems}
