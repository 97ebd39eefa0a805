"""Gathers all measurements: one JSON document on stdout, progress on stderr.

Called by `make bench`; `python -m tests.bench controller --nodes 1000` measures the controller
alone. A figure over its bar is told, in `missed` too, and is no error.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable

from tests.bench import again, cluster, controller, fetch, figures, inside, install, plan, startup

VERSIONS = ("1.7", "2.3")
FETCH_RATIO_BAR = 1.2
PEAK_RSS_BAR_MIB = 64.0


CLUSTERS = (100, 1000, 5000)
"""Nodes; the cost per node must not grow."""


def main() -> None:
    """Measure what is asked for, or everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("part", nargs="?", choices=["agent", "cluster", "controller"])
    parser.add_argument("--nodes", type=int, nargs="+", default=CLUSTERS)
    chosen = parser.parse_args()
    began = time.monotonic()
    document: figures.Figure = {"machine": _machine(), "load_before": os.getloadavg()}
    if chosen.part in {None, "agent"}:
        document |= _agent()
    if chosen.part in {None, "cluster"}:
        document["cluster"] = _told("cluster", cluster.measure)
    if chosen.part in {None, "controller"}:
        document["controller"] = {str(n): _controller(n) for n in chosen.nodes}
    document["load_after"] = os.getloadavg()
    document["seconds"] = round(time.monotonic() - began, 1)
    document["missed"] = list(figures.missed(document))
    json.dump(document, sys.stdout, indent=2)
    print()


def _controller(nodes: int) -> figures.Figure:
    return _told(f"controller, {nodes} nodes", lambda: controller.measure(nodes))


def _agent() -> figures.Figure:
    document: figures.Figure = {}
    peaks: dict[str, float] = {}
    document["containerd"] = {version: _on_node(version, peaks) for version in VERSIONS}
    document["fetch"] = _fetch(peaks)
    document["peak_rss_mib"] = figures.judged(max(peaks.values()), bar=PEAK_RSS_BAR_MIB, **peaks)
    return document


def _on_node(version: str, peaks: dict[str, float]) -> figures.Figure:
    with inside.start(version) as bench:
        inside.settle(bench)
        found: figures.Figure = {"versions": bench.versions()}
        found["plan_1000_lines"] = _told(f"{version}: plan", lambda: plan.measure(bench))
        found["start"] = _told(f"{version}: start", lambda: startup.measure(bench))
        first = install.prepare(bench)
        found["first_apply_cold_store_s"] = round(first.wall_s, 3)
        found["second_apply"] = _told(f"{version}: second apply", lambda: again.measure(bench))
        found["apply_warm_store"] = _told(f"{version}: apply", lambda: install.measure(bench))
        peaks[f"agent on {version}"] = round(bench.peak_rss_kib / 1024, 1)
    return found


def _fetch(peaks: dict[str, float]) -> figures.Figure:
    found = _told("fetch 100 MB", fetch.measure_fetch)
    peaks["fetch of 100 MB"] = found["peak_rss_mib"]
    return found | {"bar": FETCH_RATIO_BAR, "met": found["ratio"] <= FETCH_RATIO_BAR}


def _told(name: str, measure: Callable[[], figures.Figure]) -> figures.Figure:
    began = time.monotonic()
    found = measure()
    print(f"{name}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    return found


def _machine() -> figures.Figure:
    said = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "python": platform.python_version(),
        "docker": said.stdout.strip(),
    }


if __name__ == "__main__":
    main()
