"""The real controller on a real API server, with thousands of nodes that are not there.

    python -m tests.bench controller --nodes 5000

An install and an upgrade of one Shim, `rolling` with `maxUpdate: 10%`, agents that take 3 s each,
heartbeats of all nodes beside it. Reads and writes come from the API server's audit log, CPU and
memory from the kernel, the log's size from the file.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass
from typing import IO, Any

import yaml

from rcm_api import noderuntime
from rcm_api.client import api, credentials, http, resources
from tests.bench import controller_audit, controller_nodes, figures
from tests.fakes import standin
from tests.testbed import controlplane

SHIM = "bench"
BUDGET_PER_S = 100
"""Writes of the controller; the issue's bars are for it."""
IDLE_S = 60.0
LIMIT_S = 1200.0
"""After this a rollout has failed."""
LARGE = 5000
"""With more nodes only the memory is measured."""
LARGE_S = 120.0
LARGE_RSS_BAR_MIB = 256.0
TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20
CRDS = pathlib.Path("manifests/crd")


@dataclass(frozen=True, slots=True)
class Bars:
    """The issue's, for 5,000 nodes; smaller clusters must keep the per-node ones."""

    install_s: float = 300
    install_writes: float = 3.2
    upgrade_writes: float = 2.2
    rss_mib: float = 160
    cpu_s: float = 40
    log_mib: float = 1
    idle_percent: float = 3
    canary_s: float = 1
    synced_s: float = 8


class Process:
    """The controller, watched from outside."""

    def __init__(self, argv: list[str], *, port: int, log: pathlib.Path) -> None:
        self.log, self.port = log, port
        self.began = time.monotonic()
        with log.open("wb") as output:
            self._process = subprocess.Popen(argv, stdout=output, stderr=output)

    def cpu_s(self) -> float:
        """Return the seconds of CPU used so far."""
        words = self._proc("stat").rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / TICKS

    def peak_rss_mib(self) -> float:
        """Return the most memory it ever had."""
        line = next(line for line in self._proc("status").splitlines() if "VmHWM" in line)
        return int(line.split()[1]) / 1024

    def is_ready(self) -> bool:
        """Ask as kubelet does: every kind of object was listed."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/readyz", timeout=1
            ) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def log_bytes(self) -> int:
        """Return how much it has said."""
        return self.log.stat().st_size

    def stop(self) -> None:
        """End it as Kubernetes does."""
        self._process.terminate()
        self._process.wait(timeout=30)

    def _proc(self, name: str) -> str:
        if self._process.poll() is not None:
            raise RuntimeError(f"the controller ended: {self.log.read_text()[-2000:]}")
        return pathlib.Path(f"/proc/{self._process.pid}/{name}").read_text()


@dataclass(slots=True)
class Bench:
    """One cluster under measurement."""

    directory: pathlib.Path
    plane: controlplane.ControlPlane
    client: api.Client
    nodes: int
    audit: controller_audit.Audit

    def told(self, what: str) -> None:
        """Show progress."""
        print(f"{self.nodes} nodes: {what}", file=sys.stderr, flush=True)


def measure(nodes: int, bars: Bars | None = None) -> figures.Figure:
    """Return all figures for a number of nodes."""
    bars = bars or Bars()
    with _cluster(nodes) as bench, _load(bench), _controller(bench) as process:
        found: figures.Figure = {"nodes": nodes}
        found["start_to_synced_s"] = figures.judged(_synced(process), bar=bars.synced_s)
        if nodes > LARGE:
            return found | _memory(bench, process)
        found["install"] = _rollout(bench, process, release=1, bars=bars)
        found["idle"] = _idle(bench, process, bars)
        found["upgrade"] = _rollout(bench, process, release=2, bars=bars)
        found["peak_rss_mib"] = figures.judged(process.peak_rss_mib(), bar=bars.rss_mib)
        found["log_mib"] = figures.judged(process.log_bytes() / MIB, bar=bars.log_mib)
    return found


def _memory(bench: Bench, process: Process) -> figures.Figure:
    """Begin a rollout and look what it takes; the end of it would tell nothing new."""
    synced_mib = process.peak_rss_mib()
    _apply(bench, 1, time.monotonic())
    time.sleep(LARGE_S)
    bench.told(f"after {LARGE_S:.0f} s: {process.peak_rss_mib():.0f} MiB")
    peak = figures.judged(round(process.peak_rss_mib(), 1), bar=LARGE_RSS_BAR_MIB)
    return {"synced_rss_mib": round(synced_mib, 1), "peak_rss_mib": peak, "cpu_s": process.cpu_s()}


@contextlib.contextmanager
def _cluster(nodes: int) -> Generator[Bench]:
    with tempfile.TemporaryDirectory(prefix="rcm-bench-") as name:
        directory = pathlib.Path(name)
        options = controlplane.Options(api_server_flags=controller_audit.flags(directory))
        with controlplane.start(directory / "plane", options) as plane:
            logins = credentials.Kubeconfig(str(plane.kubeconfig))
            client = api.Client(http.Http(logins, agent="bench"), manager="bench")
            bench = Bench(directory, plane, client, nodes, controller_audit.Audit(directory))
            for path in sorted(CRDS.glob("*.yaml")):
                plane.kubectl("apply", "-f", str(path.absolute()))
            plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
            bench.told("control plane is up")
            uids = controller_nodes.create(client, nodes)
            (directory / "nodes.json").write_text(json.dumps(uids))
            bench.told("nodes are there")
            yield bench


@contextlib.contextmanager
def _load(bench: Bench) -> Generator[None]:
    """Run kubelets and agents in a process of their own."""
    config = bench.plane.user("bench-load", groups=("system:masters",))
    argv = [sys.executable, "-m", "tests.bench.controller_load", str(config)]
    process = subprocess.Popen(
        [*argv, str(bench.directory / "nodes.json")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    output: IO[str] | None = process.stdout
    assert output is not None
    assert output.readline() == "ready\n"
    try:
        yield
    finally:
        said, _ = process.communicate(timeout=60)
        bench.told(f"load: {said.strip()}")


@contextlib.contextmanager
def _controller(bench: Bench) -> Generator[Process]:
    config = bench.plane.user(controller_audit.USER, groups=("system:masters",))
    port = _free_port()
    argv = [
        sys.executable,
        "-m",
        "rcm_controller",
        f"--kubeconfig={config}",
        f"--write-budget={BUDGET_PER_S}",
        f"--metrics-address=127.0.0.1:{port}",
    ]
    process = Process(argv, port=port, log=bench.directory / "controller.log")
    try:
        yield process
    finally:
        process.stop()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _synced(process: Process) -> float:
    """Wait until the controller says that it has seen everything."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if process.is_ready():
            return round(time.monotonic() - process.began, 2)
        process.cpu_s()
        time.sleep(0.05)
    raise TimeoutError("never synced")


def _rollout(bench: Bench, process: Process, *, release: int, bars: Bars) -> figures.Figure:
    """Apply a release and wait until every node has it."""
    time.sleep(2)  # the audit log is written in batches of a second
    bench.audit.since_last()
    cpu_s = process.cpu_s()
    began = time.monotonic()
    canary_s, active_s = _apply(bench, release, began)
    took_s = _wait_ready(bench, process, began, release)
    cpu_s = process.cpu_s() - cpu_s
    time.sleep(2)
    asked = bench.audit.since_last()
    writes = controller_audit.writes(asked) / bench.nodes
    labelled = _labelled(bench)
    bench.told(f"release {release}: {took_s:.1f} s, {writes:.2f} writes per node")
    bar = bars.install_writes if release == 1 else bars.upgrade_writes
    return {
        "all_ready_s": figures.judged(round(took_s, 1), bar=bars.install_s),
        "labelled": labelled,
        "edit_to_first_prefetch_s": figures.judged(round(canary_s, 2), bar=bars.canary_s),
        "edit_to_first_active_s": round(active_s, 2),
        "writes_per_node": figures.judged(round(writes, 3), bar=bar),
        "lists": figures.judged(controller_audit.lists(asked), bar=0),
        "requests": dict(asked.most_common()),
        "cpu_s": figures.judged(round(cpu_s, 1), bar=bars.cpu_s),
        "log_bytes": process.log_bytes(),
    }


def _apply(bench: Bench, release: int, began: float) -> tuple[float, float]:
    """Apply a Shim; return when the first node was asked to fetch, and when to change."""
    since = next(bench.client.pages(resources.NODERUNTIMES)).resource_version
    bench.plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(shim(release)))
    applied, first, url = time.monotonic(), 0.0, location(release)
    with bench.client.watch(resources.NODERUNTIMES, since=since) as changes:
        for change in changes:
            if not isinstance(change, api.Put):
                continue
            entry = noderuntime.parse(change.item).wanted(SHIM)
            if entry is None or entry.artifact.url != url:
                continue
            first = first or time.monotonic() - applied
            if entry.phase is noderuntime.Wanted.ACTIVE:
                return first, time.monotonic() - applied
    raise TimeoutError(f"no canary after {time.monotonic() - began:.0f} s")


def _wait_ready(bench: Bench, process: Process, began: float, release: int) -> float:
    status: dict[str, Any] = {}
    while time.monotonic() - began < LIMIT_S:
        found = bench.client.get(resources.SHIMS, SHIM, decode=api.document)
        status = found.get("status", {})
        current = status.get("observedGeneration") == found["metadata"]["generation"]
        if current and status.get("nodesReady") == bench.nodes:
            return time.monotonic() - began
        process.cpu_s()
        time.sleep(0.5)
    raise TimeoutError(f"release {release}: {status}")


def _idle(bench: Bench, process: Process, bars: Bars) -> figures.Figure:
    """Look at a controller that has nothing to do."""
    time.sleep(10)
    bench.audit.since_last()
    cpu_s, began, log = process.cpu_s(), time.monotonic(), process.log_bytes()
    time.sleep(IDLE_S)
    percent = 100 * (process.cpu_s() - cpu_s) / (time.monotonic() - began)
    time.sleep(2)
    asked = bench.audit.since_last()
    bench.told(f"idle: {percent:.1f} % of a core")
    return {
        "cpu_percent": figures.judged(round(percent, 2), bar=bars.idle_percent),
        "writes": figures.judged(controller_audit.writes(asked), bar=0),
        "requests": dict(asked),
        "log_bytes": process.log_bytes() - log,
    }


def _labelled(bench: Bench) -> int:
    """Count the nodes that pods may go to."""
    selection = api.Selection(labels=f"rcm.node-restriction.kubernetes.io/{SHIM}=ready")
    pages = bench.client.pages(resources.NODES, selection)
    return sum(1 for page in pages for _ in page.items)


def location(release: int) -> str:
    """Return where a release lies."""
    return f"https://example.com/v{release}/containerd-shim-bench.tar.gz"


def shim(release: int) -> dict[str, Any]:
    """Return the manifest of a release."""
    url = location(release)
    platform = {"os": "linux", "arch": "amd64", "location": url, "sha256": standin.content(url)}
    return {
        "apiVersion": "runtime.spinkube.dev/v1alpha1",
        "kind": "Shim",
        "metadata": {"name": SHIM},
        "spec": {
            "version": f"v{release}",
            "fetchStrategy": {"platforms": [platform]},
            "runtimeClass": {"name": SHIM, "handler": SHIM},
            "rolloutStrategy": {"type": "rolling", "rolling": {"maxUpdate": "10%"}},
        },
    }
