"""A node of the test bed to measure on: commands with their costs, and the CRI poller."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests import demo
from tests.bench import poller
from tests.testbed import nodes, shims

MANIFEST = "/root/shim.yaml"
VARIANT = "v0.1.0"
BINARY = f"/srv/shims/{VARIANT}/{shims.BINARY}"
_ENVIRONMENT = {
    "PYTHONPATH": "/srv/rcm:/srv/rcm-deps",
    "PYTHONPYCACHEPREFIX": "/var/cache/rcm-pycache",
}
_START_S = 10.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command in the node took; times are the node's own CLOCK_MONOTONIC."""

    began: float
    ended: float
    cpu_s: float
    peak_rss_kib: int
    stdout: str
    stderr: str

    @property
    def wall_s(self) -> float:
        """From its start to its end, Docker's part left out."""
        return self.ended - self.began

    def steps(self) -> dict[str, float]:
        """Return the agent's own durations of its steps."""
        lines = [json.loads(line) for line in self.stderr.splitlines() if line.startswith("{")]
        return {line["step"]: line["seconds"] for line in lines if line["event"] == "step"}


class Bench:
    """A node, and the largest process of the agent seen on it."""

    def __init__(self, node: nodes.Node) -> None:
        self.node = node
        self.peak_rss_kib = 0

    def timed(self, *argv: str) -> Cost:
        """Run a command that must succeed."""
        said: dict[str, Any] = json.loads(self.python("tests.bench.timed", *argv))
        assert said.pop("exit_code") == 0, (argv, said["stderr"])
        return Cost(**said)

    def agent(self, *argv: str) -> Cost:
        """Run the agent."""
        cost = self.timed("rcm-agent", *argv, "--progress=json")
        self.peak_rss_kib = max(self.peak_rss_kib, cost.peak_rss_kib)
        return cost

    def python(self, module: str, *argv: str) -> str:
        """Run a module of the checkout."""
        return self.node.exec(["python3", "-P", "-m", module, *argv], env=_ENVIRONMENT).stdout

    def way_s(self) -> float:
        """Return what `docker exec` itself takes."""
        began = time.monotonic()
        self.node.exec(["true"])
        return time.monotonic() - began

    def start_poller(self) -> None:
        """Start it and wait for its first answer; it ends with the node."""
        self.node.spawn(["python3", "-P", "-m", "tests.bench.poller"], env=_ENVIRONMENT)
        deadline = time.monotonic() + _START_S
        while not self.node.exists(str(poller.HANDLERS)):
            assert time.monotonic() < deadline, "the poller does not start"
            time.sleep(0.05)

    def unreachable_s(self, cost: Cost) -> float:
        """Return for how long CRI did not answer while a command ran."""
        return self.unreachable_between(cost.began, cost.ended)

    def unreachable_between(self, began: float, ended: float) -> float:
        """Return for how long CRI did not answer; times are of CLOCK_MONOTONIC, which all share."""
        lines = self.node.read(str(poller.OUTAGES)).decode().splitlines()
        outages = [json.loads(line) for line in lines]
        return sum(end - begin for begin, end in outages if began < end and begin < ended)

    def forget_restarts(self) -> None:
        """Let the agent and systemd forget how often containerd was restarted."""
        self.node.exec(["rm", "-f", "/run/rcm/restarts.json"])
        self.node.systemctl("reset-failed", "containerd")

    def versions(self) -> dict[str, str]:
        """Return what the node's programs say that they are."""
        programs = ("containerd", "systemctl", "python3")
        said = {name: self.node.exec([name, "--version"]).stdout for name in programs}
        return {name: text.splitlines()[0] for name, text in said.items()}


@contextlib.contextmanager
def start(version: str) -> Iterator[Bench]:
    """Start a node that has the manifest of the reference shim."""
    with nodes.start(containerd=version, mounts={shims.build(): "/srv/shims"}) as node:
        node.write(MANIFEST, demo.manifest(VARIANT).encode())
        yield Bench(node)


def settle(bench: Bench) -> None:
    """Wait for CRI, and have Python's compiled files written, as they are in a released image."""
    deadline = time.monotonic() + _START_S
    while bench.node.agent("plan", "-f", MANIFEST, check=False).exit_code != 0:
        assert time.monotonic() < deadline, "CRI does not answer"
        time.sleep(0.2)
    bench.agent("status")


def medians(runs: Sequence[Cost]) -> dict[str, float]:
    """Return the middle duration of every step."""
    names = runs[0].steps()
    return {
        name: sorted(run.steps().get(name, 0.0) for run in runs)[len(runs) // 2] for name in names
    }
