"""The product on a whole cluster of real nodes: how fast a node gets ready, and what that costs.

    python -m tests.bench cluster

A Shim stays on all nodes, so that their stores are warm. A second one, of the same artifact, comes
to a node when that is labelled and goes with the label, again and again. Requests come from the API
server's audit log, the time without CRI from the poller in the node, memory and CPU from /proc.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from rcm_api import names
from rcm_api.client import api, credentials, http, resources
from tests.bench import controller_audit, figures, inside
from tests.e2e import processes, support
from tests.testbed import cluster_fixtures, clusters, fileserver

READY_BAR_S = 10.0
"""A guess: what a person takes for "at once" after labelling a node."""
DOWN_BAR_S = 1.5
"""As for the agent alone."""
RSS_BAR_MIB = 64.0
IDLE_BAR_PERCENT = 0.5
IDLE_S = 60.0
ROUNDS = 5
LABEL = "rcm.test/bench"
AGENT = f"system:serviceaccount:{support.AGENTS}:rcm-agent"
CONTROLLER = f"system:serviceaccount:{support.SYSTEM}:rcm-controller"
_AUDIT_S = 2.0
"""The log is written in batches of a second."""
_QUIET_S = 10.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Bench:
    """A cluster under measurement."""

    product: support.Product
    client: api.Client
    agents: controller_audit.Audit
    controller: controller_audit.Audit
    nodes: dict[str, inside.Bench] = field(default_factory=dict)

    @property
    def cluster(self) -> clusters.Cluster:
        """Return it."""
        return self.product.cluster


def measure() -> figures.Figure:
    """Return all figures."""
    with _start() as bench:
        bench.product.apply(bench.product.shim("keep"))
        bench.product.wait_ready("keep")
        found: figures.Figure = {"idle": _idle(bench)}
        bench.product.apply(bench.product.shim("bench", node_selector={LABEL: "yes"}))
        found["install"] = {
            bench.cluster.nodes[name].containerd: _installs(bench, name)
            for name in sorted(bench.cluster.nodes)
        }
        return found


@contextlib.contextmanager
def _start() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="rcm-bench-") as name:
        directory = pathlib.Path(name)
        flags = controller_audit.flags(directory, users=(AGENT, CONTROLLER))
        options = clusters.Options(api_server_flags=flags)
        with (
            clusters.start(
                directory / "plane", nodes=cluster_fixtures.NODES, options=options
            ) as cluster,
            fileserver.start(cluster.gateway) as files,
        ):
            product = support.Product(cluster, files, directory)
            product.install()
            logins = credentials.Kubeconfig(str(cluster.kubeconfig))
            bench = Bench(
                product,
                api.Client(http.Http(logins, agent="bench"), manager="bench"),
                controller_audit.Audit(directory, user=AGENT),
                controller_audit.Audit(directory, user=CONTROLLER),
                {name: inside.Bench(node) for name, node in cluster.nodes.items()},
            )
            for each in bench.nodes.values():
                each.start_poller()
            yield bench


# --- a node gets ready --------------------------------------------------------------------------


def _installs(bench: Bench, node: str) -> figures.Figure:
    ready: list[float] = []
    down: list[float] = []
    time.sleep(_AUDIT_S)
    bench.agents.since_last()
    bench.controller.since_last()
    agents: Counter[str] = Counter()
    controller: Counter[str] = Counter()
    for _ in range(ROUNDS):
        bench.product.forget_restarts()
        began = time.monotonic()
        ready.append(_label(bench, node, "yes", wanted=True))
        down.append(bench.nodes[node].unreachable_between(began, time.monotonic()))
        time.sleep(_AUDIT_S)
        agents += bench.agents.since_last()
        controller += bench.controller.since_last()
        _leave(bench, node)
    _told(f"{node}: ready after {statistics.median(ready):.2f} s")
    return {
        "label_to_ready": figures.seconds(ready, bar=READY_BAR_S),
        "cri_unreachable": figures.seconds(down, bar=DOWN_BAR_S),
        "requests_of_agent": _each(agents),
        "requests_of_controller": _each(controller),
    }


def _label(bench: Bench, node: str, value: str | None, *, wanted: bool) -> float:
    """Label a node; return the seconds until pods may go there, or may no more."""
    since = next(bench.client.pages(resources.NODES)).resource_version
    began = time.monotonic()
    body = {"metadata": {"labels": {LABEL: value}}}
    assert bench.cluster.plane.ask("PATCH", f"/api/v1/nodes/{node}", body) == 200
    label = names.ready_label("bench")
    with bench.client.watch(resources.NODES, since=since) as changes:
        for change in changes:
            if not isinstance(change, api.Put):
                continue
            seen = api.document(change.item)["metadata"]
            if seen["name"] == node and (seen["labels"].get(label) == names.READY) == wanted:
                return time.monotonic() - began
    raise TimeoutError(f"{node} does not change")


def _leave(bench: Bench, node: str) -> None:
    bench.product.forget_restarts()
    _label(bench, node, None, wanted=False)
    bench.product.wait(f"{node} to be clean", lambda: not bench.product.entry(node, "bench"))
    time.sleep(_AUDIT_S)
    bench.agents.since_last()
    bench.controller.since_last()


def _each(found: Counter[str]) -> figures.Figure:
    """Return requests per install."""
    return {
        "total": round(found.total() / ROUNDS, 2),
        "writes": round(controller_audit.writes(found) / ROUNDS, 2),
        **{what: round(count / ROUNDS, 2) for what, count in found.most_common()},
    }


# --- nothing to do ------------------------------------------------------------------------------


def _idle(bench: Bench) -> figures.Figure:
    """Look at agents that have nothing to do, with a Shim on their nodes."""
    product = bench.product
    pids = {
        name: processes.pid(node, product.agent_pod(name))
        for name, node in bench.cluster.nodes.items()
    }
    time.sleep(_QUIET_S)
    bench.agents.since_last()
    before, began = {name: _cpu_s(bench, name, pid) for name, pid in pids.items()}, time.monotonic()
    time.sleep(IDLE_S)
    took_s = time.monotonic() - began
    used = {name: _cpu_s(bench, name, pid) - before[name] for name, pid in pids.items()}
    percent = {name: round(100 * cpu_s / took_s, 2) for name, cpu_s in used.items()}
    memory = {name: _memory_mib(bench, name, pid) for name, pid in pids.items()}
    time.sleep(_AUDIT_S)
    _told(f"idle agents: {percent} % of a core, {memory} MiB")
    return {
        "cpu_percent": figures.judged(max(percent.values()), bar=IDLE_BAR_PERCENT, **percent),
        "rss_mib": figures.judged(max(memory.values()), bar=RSS_BAR_MIB, **memory),
        "requests_of_agents": dict(bench.agents.since_last()),
        "seconds": IDLE_S,
    }


def _cpu_s(bench: Bench, node: str, pid: str) -> float:
    words = bench.cluster.nodes[node].read(f"/proc/{pid}/stat").decode().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS


def _memory_mib(bench: Bench, node: str, pid: str) -> float:
    text = bench.cluster.nodes[node].read(f"/proc/{pid}/status").decode()
    line = next(line for line in text.splitlines() if line.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1024, 1)


def _told(what: str) -> None:
    print(f"cluster: {what}", file=sys.stderr, flush=True)
