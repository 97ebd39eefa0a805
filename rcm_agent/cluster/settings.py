"""What a person may set about the agent in a cluster, and its rhythm.

Built by `cli` from flags and environment; read by the wiring, changed nowhere. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rcm_agent import settings

LOOK_S = 30.0
"""Between two looks at a host on which nothing is to be done: drift is found within that."""
GATE_S = 5.0
"""Between two questions whether running containers are still in the way."""
HASH_S = 600.0
"""Between two readings of every byte of a shim; in between its size, owner and mode are compared.
60 MB take 0.1 s of a core."""
BUSY_S = 2.0
"""Before asking again for a lock that another agent holds."""
BUSY_LONG_S = 120.0
"""Longer than an operation takes: whoever holds the lock hangs, or downloads."""
LOCATE_S = 60.0
"""Before looking again for containerd on a host that could not be served."""
BROKEN_S = 30.0
"""Before trying once more what failed at the host itself."""

REPAIRS = 3
"""So many times within `REPAIRS_WINDOW_S` somebody else's change is put right; then it is a
conflict, and nobody gains from a fight (faults.md R16)."""
REPAIRS_WINDOW_S = 3600.0

WATCH_S = 600.0
"""How long a watch lasts, less a random fifth. 5,000 agents ask anew about ten times a second."""
SILENCE_S = 660.0
"""More than `WATCH_S`: a watch of one quiet object says nothing until it ends."""
BACKOFF_S = 60.0
"""Longest pause between tries to reach the API server; agents come back spread over it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One run of the agent in a cluster."""

    node: str
    """Of the Node, and so of its NodeRuntime."""
    kubeconfig: str = ""
    """File; empty: the pod's own credentials, else what kubectl would take."""
    metrics_host: str = "0.0.0.0"  # noqa: S104 - kubelet and Prometheus come from other hosts
    metrics_port: int = 8081
    """0: any free one, which the log tells."""
    log_json: bool = True
    debug: bool = False
    host: settings.Settings = field(default_factory=settings.Settings)
    """What the standalone commands take too. Trust on first use is the controller's to decide, and
    disruption each Shim's."""
