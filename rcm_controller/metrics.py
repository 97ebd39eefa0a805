"""Every metric of the controller in one table, from which README's is generated.

`loop`, `apply`, `store` and `leader` count here; `health` serves it. Labels come from closed sets
and from the names of Shims, never from nodes: the number of series does not grow with the cluster.
`python -m rcm_controller.metrics` prints the table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import prometheus_client
from prometheus_client import core, registry

Kind = Literal["counter", "gauge", "histogram"]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Planning one node takes 1 ms, 15,000 nodes may take 1 s; a write to a busy server up to 10."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table."""

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    help: str


NODES = Metric(
    name="rcm_shim_nodes",
    kind="gauge",
    unit="nodes",
    labels=("shim", "phase"),
    help="Selected nodes by phase: ready, updating, waiting, failed, unsupported, outdated, "
    "draining.",
)
FAILURES = Metric(
    name="rcm_shim_failed_nodes",
    kind="gauge",
    unit="nodes",
    labels=("shim", "reason"),
    help="Nodes whose last answer is Failed or RolledBack, by the agent's reason.",
)
LEADER = Metric(
    name="rcm_leader",
    kind="gauge",
    unit="",
    labels=(),
    help="1 on the replica that may write, 0 on the others.",
)
PLANS = Metric(
    name="rcm_plan_seconds",
    kind="histogram",
    unit="seconds",
    labels=(),
    help="Time to look at the caches and decide; its count is the number of plans.",
)
PENDING = Metric(
    name="rcm_pending_actions",
    kind="gauge",
    unit="actions",
    labels=(),
    help="Decided and not yet carried out, as of the last plan.",
)
WRITES = Metric(
    name="rcm_writes_total",
    kind="counter",
    unit="writes",
    labels=("action", "outcome"),
    help="Writes by action and outcome: ok, conflict, gone, refused, throttled, unreachable.",
)
WRITE_SECONDS = Metric(
    name="rcm_write_seconds",
    kind="histogram",
    unit="seconds",
    labels=(),
    help="Time that a write took, from sending to its reply.",
)
TOKENS = Metric(
    name="rcm_write_budget_tokens",
    kind="gauge",
    unit="writes",
    labels=(),
    help="Writes that could be made at once.",
)
WAITS = Metric(
    name="rcm_write_budget_waits_total",
    kind="counter",
    unit="waits",
    labels=(),
    help="How often work waited for the write budget.",
)
WATCH_AGE = Metric(
    name="rcm_watch_age_seconds",
    kind="gauge",
    unit="seconds",
    labels=("kind",),
    help="Since the API server last said anything about a kind; bookmarks come every minute.",
)
WATCH_FAILURES = Metric(
    name="rcm_watch_failures",
    kind="gauge",
    unit="failures",
    labels=("kind",),
    help="Failures in a row of listing or watching a kind; 0 while all is well.",
)
LISTS = Metric(
    name="rcm_lists",
    kind="gauge",
    unit="lists",
    labels=("kind",),
    help="Complete lists that the watches began with: one at the start, one after each lost watch.",
)
OBJECTS = Metric(
    name="rcm_cached_objects",
    kind="gauge",
    unit="objects",
    labels=("kind",),
    help="Objects in the cache.",
)
UNREADABLE = Metric(
    name="rcm_unreadable_objects_total",
    kind="counter",
    unit="objects",
    labels=("kind",),
    help="Objects that could not be decoded; their last readable state is kept.",
)
ERRORS = Metric(
    name="rcm_loop_errors_total",
    kind="counter",
    unit="errors",
    labels=("loop",),
    help="Errors that one of the loops caught, logged and survived.",
)

TABLE = (
    NODES,
    FAILURES,
    LEADER,
    PLANS,
    PENDING,
    WRITES,
    WRITE_SECONDS,
    TOKENS,
    WAITS,
    WATCH_AGE,
    WATCH_FAILURES,
    LISTS,
    OBJECTS,
    UNREADABLE,
    ERRORS,
)


Sample = tuple[tuple[str, ...], float]
"""The values of the labels, and the value."""


class Metrics:
    """The table with numbers. One per controller, so that tests and the simulation have many."""

    def __init__(self) -> None:
        """Start at zero."""
        self.registry = registry.CollectorRegistry()
        self._counters = {m: _counter(m, self.registry) for m in TABLE if m.kind == "counter"}
        self._histograms = {m: _histogram(m, self.registry) for m in TABLE if m.kind == "histogram"}
        self._gauges = _Gauges()
        self.registry.register(self._gauges)

    def count(self, metric: Metric, *labels: str) -> None:
        """Add one."""
        counter = self._counters[metric]
        (counter.labels(*labels) if labels else counter).inc()

    def observe(self, metric: Metric, value: float) -> None:
        """Add a measurement."""
        self._histograms[metric].observe(value)

    def show(self, metric: Metric, samples: Iterable[Sample]) -> None:
        """Replace all series of a gauge: those of a deleted Shim go."""
        self._gauges.shown[metric] = tuple(samples)

    def text(self) -> bytes:
        """Return what Prometheus scrapes."""
        return prometheus_client.generate_latest(self.registry)


class _Gauges(registry.Collector):
    """Gauges whose series come and go with the world."""

    def __init__(self) -> None:
        self.shown: dict[Metric, tuple[Sample, ...]] = {}

    def collect(self) -> Iterator[core.Metric]:
        for metric, samples in list(self.shown.items()):
            family = core.GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            for labels, value in samples:
                family.add_metric(labels, value)
            yield family


def _counter(metric: Metric, where: registry.CollectorRegistry) -> prometheus_client.Counter:
    return prometheus_client.Counter(metric.name, metric.help, metric.labels, registry=where)


def _histogram(metric: Metric, where: registry.CollectorRegistry) -> prometheus_client.Histogram:
    return prometheus_client.Histogram(
        metric.name, metric.help, metric.labels, registry=where, buckets=SECONDS
    )


def table() -> str:
    """Return the table as Markdown."""
    lines = ["| metric | type | unit | labels | meaning |", "|---|---|---|---|---|"]
    for metric in TABLE:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(
            f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {metric.help} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
