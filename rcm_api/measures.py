"""Metrics as tables: declared in rows, counted by row, documented from the same rows.

Both programs declare a table of their own and serve it with `serving`.
"""

from __future__ import annotations

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
    buckets: tuple[float, ...] = SECONDS
    """Upper bounds; of a histogram only."""


Sample = tuple[tuple[str, ...], float]
"""The values of the labels, and the value."""


class Measures:
    """A table with numbers, in a registry of its own."""

    def __init__(self, table: Iterable[Metric]) -> None:
        """Start at zero."""
        rows = tuple(table)
        self.registry = registry.CollectorRegistry()
        self._counters = {m: _counter(m, self.registry) for m in rows if m.kind == "counter"}
        self._histograms = {m: _histogram(m, self.registry) for m in rows if m.kind == "histogram"}
        self._gauges = _Gauges()
        self.registry.register(self._gauges)

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        counter = self._counters[metric]
        (counter.labels(*labels) if labels else counter).inc(by)

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Add a measurement."""
        histogram = self._histograms[metric]
        (histogram.labels(*labels) if labels else histogram).observe(value)

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
        metric.name, metric.help, metric.labels, registry=where, buckets=metric.buckets
    )


def markdown(table: Iterable[Metric]) -> str:
    """Return a table as Markdown."""
    lines = ["| metric | type | unit | labels | meaning |", "|---|---|---|---|---|"]
    for metric in table:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(
            f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {metric.help} |"
        )
    return "\n".join(lines) + "\n"
