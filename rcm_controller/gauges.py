"""What `/metrics` shows of the present: read off the caches when somebody asks, and never else.

Called by `health`'s thread, through `run`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from rcm_api import noderuntime, shim_status
from rcm_controller import budget, leader, metrics, store, views

FAILED = frozenset({noderuntime.Phase.FAILED, noderuntime.Phase.ROLLED_BACK})
REASONS = 50
"""Different reasons that are shown; agents have about twenty. The rest is counted as `Other`."""


def show(
    told: metrics.Metrics,
    *,
    caches: store.Store,
    leadership: leader.Leadership,
    limit: budget.Budget,
) -> None:
    """Set the gauges that tell of the cluster and of this replica."""
    told.show(metrics.LEADER, [((), float(leadership.term() > 0))])
    told.show(metrics.TOKENS, [((), limit.tokens())])
    told.show(metrics.OBJECTS, [((cache.kind,), float(len(cache))) for cache in caches.all()])
    told.show(metrics.NODES, _nodes(caches.shims.views().values()))
    told.show(metrics.FAILURES, _failures(caches.runtimes.views(), caches.shims.views()))


def _nodes(shims: Iterable[views.ShimView]) -> Iterable[metrics.Sample]:
    for shim in shims:
        for phase, count in _phases(shim.status).items():
            yield (shim.name, phase), float(count)


def _phases(status: shim_status.ShimStatus) -> Mapping[str, int]:
    return {
        "ready": status.nodes_ready,
        "updating": status.nodes_updating,
        "waiting": status.nodes_waiting,
        "failed": status.nodes_failed,
        "unsupported": status.nodes_unsupported,
        "outdated": status.nodes_outdated,
        "draining": status.nodes_draining,
    }


def _failures(
    runtimes: Mapping[str, noderuntime.NodeRuntime], shims: Mapping[str, views.ShimView]
) -> Iterable[metrics.Sample]:
    found = Counter(
        (seen.name, seen.reason)
        for runtime in runtimes.values()
        for seen in runtime.status.shims
        if seen.phase in FAILED and seen.name in shims
    )
    shown = dict(found.most_common(REASONS))
    for (shim, reason), count in shown.items():
        yield (shim, reason or "Unknown"), float(count)
    others = Counter[str]()
    for shim, reason in found.keys() - shown.keys():
        others[shim] += found[shim, reason]
    for shim, count in others.items():
        yield (shim, "Other"), float(count)
