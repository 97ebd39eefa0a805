"""A node's status as gauges: what each Shim is at, and what the node is. Called by `metrics`. Pure.

Everything is made anew from the status that the agent reports, so that metrics and status never
disagree, and the series of a Shim that is gone disappear.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rcm_api import conditions, noderuntime
from rcm_api.measures import Metric, Sample
from rcm_api.noderuntime import Phase

DIGEST_CHARS = 12
"""As Docker shows digests; the whole one is in the status."""

INFO = Metric(
    name="rcm_agent_info",
    kind="gauge",
    unit="",
    labels=("version", "arch", "distribution"),
    help="1; of the agent and of the node that it runs on.",
)
CONTAINERD = Metric(
    name="rcm_agent_containerd_info",
    kind="gauge",
    unit="",
    labels=("version", "schema", "strategy"),
    help="1; containerd's version, the version of its configuration file, and how that is edited.",
)
SHIM = Metric(
    name="rcm_agent_shim_info",
    kind="gauge",
    unit="",
    labels=("shim", "version", "digest"),
    help="1 for each Shim that is installed; digest is the beginning of the artifact's SHA-256.",
)
PHASE = Metric(
    name="rcm_agent_shim_phase",
    kind="gauge",
    unit="",
    labels=("shim", "phase"),
    help="1 for the phase of the Shim, 0 for the others: Fetching, Fetched, Waiting, Applying, "
    "Ready, Failed, RolledBack, Draining, Absent.",
)
SUCCESS = Metric(
    name="rcm_agent_shim_success_timestamp_seconds",
    kind="gauge",
    unit="seconds",
    labels=("shim",),
    help="When the Shim last became Ready, in seconds since 1970 by the node's clock.",
)
IN_USE = Metric(
    name="rcm_agent_shim_sandboxes",
    kind="gauge",
    unit="sandboxes",
    labels=("shim",),
    help="Pod sandboxes on this node that use the Shim.",
)
WAITING = Metric(
    name="rcm_agent_waiting_for_idle",
    kind="gauge",
    unit="",
    labels=(),
    help="1 while a needed restart of containerd waits because it would end running containers.",
)
CONDITION = Metric(
    name="rcm_agent_condition",
    kind="gauge",
    unit="",
    labels=("type",),
    help="1 where the node's condition is True, 0 where it is not: Healthy, Supported, Conflict.",
)
WATCH_AGE = Metric(
    name="rcm_agent_watch_age_seconds",
    kind="gauge",
    unit="seconds",
    labels=(),
    help="Since the API server last said anything about this node's object: up to 10 minutes, the "
    "length of a watch, while nothing happens to it.",
)
WATCH_FAILURES = Metric(
    name="rcm_agent_watch_failures",
    kind="gauge",
    unit="failures",
    labels=(),
    help="Failures in a row of the watch; 0 while all is well.",
)

TABLE = (
    INFO,
    CONTAINERD,
    SHIM,
    PHASE,
    SUCCESS,
    IN_USE,
    WAITING,
    CONDITION,
    WATCH_AGE,
    WATCH_FAILURES,
)

CONDITIONS = ("Healthy", "Supported", "Conflict")


def of(
    status: noderuntime.Status, succeeded_at: Mapping[str, float]
) -> Mapping[Metric, tuple[Sample, ...]]:
    """Return every gauge of a status, with all its series."""
    facts, shims = status.facts, status.shims
    containerd = (facts.containerd, str(facts.schema), facts.strategy)
    return {
        INFO: (((facts.agent, facts.arch, facts.distribution), 1.0),),
        CONTAINERD: ((containerd, 1.0),) if facts.containerd else (),
        SHIM: tuple(((s.name, s.version, s.sha256[:DIGEST_CHARS]), 1.0) for s in shims if s.digest),
        PHASE: tuple(
            ((s.name, phase.value), float(s.phase is phase)) for s in shims for phase in Phase
        ),
        SUCCESS: tuple(((name,), at) for name, at in sorted(succeeded_at.items())),
        IN_USE: tuple(((s.name,), float(s.in_use)) for s in shims),
        WAITING: (((), float(any(s.phase is Phase.WAITING for s in shims))),),
        CONDITION: tuple(_conditions(status.conditions)),
    }


def succeeded(status: noderuntime.Status, former: Mapping[str, float]) -> dict[str, float]:
    """Return when each Shim of the status last became Ready; `former` is what was known."""
    found = {s.name: former[s.name] for s in status.shims if s.name in former}
    ready = (s for s in status.shims if s.phase is Phase.READY and s.time is not None)
    return found | {s.name: s.time.timestamp() for s in ready if s.time is not None}


def _conditions(found: Iterable[conditions.Condition]) -> Iterable[Sample]:
    known = {c.type: c.status for c in found}
    return (((kind,), float(known[kind] == "True")) for kind in CONDITIONS if kind in known)
