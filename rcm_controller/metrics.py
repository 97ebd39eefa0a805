"""Every metric of the controller in one table, from which README's is generated.

`loop`, `apply`, `store` and `leader` count here; `run` serves it. Labels come from closed sets
and from the names of Shims, never from nodes: the number of series does not grow with the cluster.
`python -m rcm_controller.metrics` prints the table.
"""

from __future__ import annotations

import sys

from rcm_api import measures
from rcm_api.measures import Sample

__all__ = ["TABLE", "Metrics", "Sample", "table"]

NODES = measures.Metric(
    name="rcm_shim_nodes",
    kind="gauge",
    unit="nodes",
    labels=("shim", "phase"),
    help="Selected nodes by phase: ready, updating, waiting, failed, unsupported, outdated, "
    "draining.",
)
FAILURES = measures.Metric(
    name="rcm_shim_failed_nodes",
    kind="gauge",
    unit="nodes",
    labels=("shim", "reason"),
    help="Nodes whose last answer is Failed or RolledBack, by the agent's reason.",
)
LEADER = measures.Metric(
    name="rcm_leader",
    kind="gauge",
    unit="",
    labels=(),
    help="1 on the replica that may write, 0 on the others.",
)
PLANS = measures.Metric(
    name="rcm_plan_seconds",
    kind="histogram",
    unit="seconds",
    labels=(),
    help="Time to look at the caches and decide; its count is the number of plans.",
)
PENDING = measures.Metric(
    name="rcm_pending_actions",
    kind="gauge",
    unit="actions",
    labels=(),
    help="Decided and not yet carried out, as of the last plan.",
)
WRITES = measures.Metric(
    name="rcm_writes_total",
    kind="counter",
    unit="writes",
    labels=("action", "outcome"),
    help="Writes by action and outcome: ok, conflict, gone, refused, throttled, unreachable.",
)
WRITE_SECONDS = measures.Metric(
    name="rcm_write_seconds",
    kind="histogram",
    unit="seconds",
    labels=(),
    help="Time that a write took, from sending to its reply.",
)
TOKENS = measures.Metric(
    name="rcm_write_budget_tokens",
    kind="gauge",
    unit="writes",
    labels=(),
    help="Writes that could be made at once.",
)
WAITS = measures.Metric(
    name="rcm_write_budget_waits_total",
    kind="counter",
    unit="waits",
    labels=(),
    help="How often work waited for the write budget.",
)
WATCH_AGE = measures.Metric(
    name="rcm_watch_age_seconds",
    kind="gauge",
    unit="seconds",
    labels=("kind",),
    help="Since the API server last said anything about a kind: up to 75 s, the length of a watch, while "
    "nothing happens to it.",
)
WATCH_FAILURES = measures.Metric(
    name="rcm_watch_failures",
    kind="gauge",
    unit="failures",
    labels=("kind",),
    help="Failures in a row of listing or watching a kind; 0 while all is well.",
)
LISTS = measures.Metric(
    name="rcm_lists",
    kind="gauge",
    unit="lists",
    labels=("kind",),
    help="Complete lists that the watches began with: one at the start, one after each lost watch.",
)
OBJECTS = measures.Metric(
    name="rcm_cached_objects",
    kind="gauge",
    unit="objects",
    labels=("kind",),
    help="Objects in the cache.",
)
UNREADABLE = measures.Metric(
    name="rcm_unreadable_objects_total",
    kind="counter",
    unit="objects",
    labels=("kind",),
    help="Objects that could not be decoded; their last readable state is kept.",
)
ERRORS = measures.Metric(
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


class Metrics(measures.Measures):
    """The table with numbers. One per controller, so that tests and the simulation have many."""

    def __init__(self) -> None:
        """Start at zero."""
        super().__init__(TABLE)


def table() -> str:
    """Return the table as Markdown."""
    return measures.markdown(TABLE)


if __name__ == "__main__":
    sys.stdout.write(table())
