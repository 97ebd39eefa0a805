"""Every metric of the agent in one table, from which README's is generated.

`Metrics` is the `watchers.Observer` that `run` gives to all who have something to tell; `run`
serves its text. Labels come from closed sets and from the names of the Shims of this node; the
series of a Shim that is gone go with it, but for counters of operations, which name no Shim.
`python -m rcm_agent.cluster.metrics` prints the table.
"""

from __future__ import annotations

import sys
import threading

from rcm_agent import records
from rcm_agent.cluster import gauges, health, watchers
from rcm_api import measures, noderuntime
from rcm_api.measures import Metric

STEPS = frozenset({"fetch", "probe", "undo", *records.Step})
OTHER = "Other"
WORDS = 40
"""So many outcomes and kinds of errors have series of their own: twice what the code knows."""

_WORK_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0)
"""A restart takes 0.3 s, a proof 0.1 s; the switch fires after 60 s."""
_FETCH_S = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
"""20 MB come in a second or in minutes; 900 s is a download's deadline."""

OPERATIONS = Metric(
    name="rcm_agent_operations_total",
    kind="counter",
    unit="operations",
    labels=("kind", "outcome"),
    help="Operations by kind (fetch, apply, remove, repair, recover) and outcome: Done, or the "
    "reason of the status.",
)
OPERATION_SECONDS = Metric(
    name="rcm_agent_operation_seconds",
    kind="histogram",
    unit="seconds",
    labels=("kind",),
    help="Time that an operation took, whatever came of it.",
    buckets=_WORK_S,
)
STEP_SECONDS = Metric(
    name="rcm_agent_step_seconds",
    kind="histogram",
    unit="seconds",
    labels=("step",),
    help="Time of each step that succeeded: fetch, probe, prepare, attach, arm, link, try, "
    "restart, verify, prove, disarm, commit, clean, undo.",
    buckets=_WORK_S,
)
STEP_FAILURES = Metric(
    name="rcm_agent_step_failures_total",
    kind="counter",
    unit="steps",
    labels=("step",),
    help="Steps that failed.",
)
DOWNLOAD_BYTES = Metric(
    name="rcm_agent_download_bytes_total",
    kind="counter",
    unit="bytes",
    labels=(),
    help="Bytes of artifacts that were fetched.",
)
DOWNLOAD_SECONDS = Metric(
    name="rcm_agent_download_seconds",
    kind="histogram",
    unit="seconds",
    labels=(),
    help="Time of each download; its count is the number of downloads.",
    buckets=_FETCH_S,
)
RESTARTS = Metric(
    name="rcm_agent_containerd_restarts_total",
    kind="counter",
    unit="restarts",
    labels=(),
    help="Restarts of containerd by this agent.",
)
ROLLBACKS = Metric(
    name="rcm_agent_rollbacks_total",
    kind="counter",
    unit="operations",
    labels=(),
    help="Operations that failed and were taken back.",
)
DRIFT = Metric(
    name="rcm_agent_drift_repairs_total",
    kind="counter",
    unit="repairs",
    labels=(),
    help="Changes of somebody else that were put right.",
)
CONFLICTS = Metric(
    name="rcm_agent_conflicts_total",
    kind="counter",
    unit="conflicts",
    labels=(),
    help="Times that the agent stopped to repair because somebody kept undoing it.",
)
ORPHANS = Metric(
    name="rcm_agent_orphans_ended_total",
    kind="counter",
    unit="processes",
    labels=(),
    help="Processes of our shims that were ended because containerd had forgotten them.",
)
API_ERRORS = Metric(
    name="rcm_agent_api_errors_total",
    kind="counter",
    unit="errors",
    labels=("kind",),
    help="Failed requests to the API server: Unreachable, Frozen, Garbled, Unauthorized, "
    "Forbidden, NotFound, Conflict, Gone, Invalid, TooManyRequests, ServerError, ….",
)
TURNS = Metric(
    name="rcm_agent_turn_seconds",
    kind="histogram",
    unit="seconds",
    labels=(),
    help="Time of each turn of the loop; its count is the number of turns.",
    buckets=_WORK_S,
)

COUNTED = (
    OPERATIONS,
    OPERATION_SECONDS,
    STEP_SECONDS,
    STEP_FAILURES,
    DOWNLOAD_BYTES,
    DOWNLOAD_SECONDS,
    RESTARTS,
    ROLLBACKS,
    DRIFT,
    CONFLICTS,
    ORPHANS,
    API_ERRORS,
    TURNS,
)
TABLE = (*gauges.TABLE, *COUNTED)


class Metrics(measures.Measures):
    """The table with numbers, fed as an Observer; every method may come from any thread."""

    def __init__(self, pulse: health.Pulse | None = None) -> None:
        """Start at zero; whatever is told also beats `pulse`."""
        super().__init__(TABLE)
        self._pulse = pulse
        self._lock = threading.Lock()
        self._words: dict[Metric, set[str]] = {}
        self._succeeded: dict[str, float] = {}

    def told(self, status: noderuntime.Status) -> None:
        """Show the status as gauges."""
        with self._lock:
            self._succeeded = gauges.succeeded(status, self._succeeded)
            for metric, samples in gauges.of(status, self._succeeded).items():
                self.show(metric, samples)

    def watched(self, age_s: float | None, failures: int) -> None:
        """Show how the watch is; `age_s` is None before the first list."""
        self.show(gauges.WATCH_AGE, () if age_s is None else [((), age_s)])
        self.show(gauges.WATCH_FAILURES, [((), float(failures))])

    def operation(self, kind: watchers.Kind, outcome: str, seconds: float) -> None:
        """Count the operation."""
        self._beat()
        self.count(OPERATIONS, kind, self._known(OPERATIONS, outcome))
        self.observe(OPERATION_SECONDS, seconds, kind)

    def fetched(self, size_bytes: int, seconds: float) -> None:
        """Count the download."""
        self._beat()
        self.count(DOWNLOAD_BYTES, by=size_bytes)
        self.observe(DOWNLOAD_SECONDS, seconds)

    def step(self, name: str, seconds: float, *, done: bool) -> None:
        """Count the step."""
        self._beat()
        known = name if name in STEPS else OTHER
        if done:
            self.observe(STEP_SECONDS, seconds, known)
        else:
            self.count(STEP_FAILURES, known)

    def restart(self) -> None:
        """Count it."""
        self.count(RESTARTS)

    def rollback(self) -> None:
        """Count it."""
        self.count(ROLLBACKS)

    def drift(self) -> None:
        """Count it."""
        self.count(DRIFT)

    def conflict(self) -> None:
        """Count it."""
        self.count(CONFLICTS)

    def orphans(self, ended: int) -> None:
        """Count them."""
        self.count(ORPHANS, by=ended)

    def api_error(self, kind: str) -> None:
        """Count it."""
        self.count(API_ERRORS, self._known(API_ERRORS, kind))

    def turn(self, seconds: float) -> None:
        """Count it."""
        self._beat()
        self.observe(TURNS, seconds)

    def _beat(self) -> None:
        if self._pulse is not None:
            self._pulse.beat()

    def _known(self, metric: Metric, word: str) -> str:
        """Return the word, or `OTHER` once there are too many: no flood of series."""
        with self._lock:
            words = self._words.setdefault(metric, set())
            if word in words or len(words) < WORDS:
                words.add(word)
                return word
            return OTHER


def table() -> str:
    """Return the table as Markdown."""
    return measures.markdown(TABLE)


if __name__ == "__main__":
    sys.stdout.write(table())
