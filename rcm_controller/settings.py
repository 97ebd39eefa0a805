"""What a person may set about the controller, with units and the reason of each default.

Built by `cli` from flags and environment; read by the wiring, changed nowhere. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rcm_controller import world

WRITE_BUDGET_PER_S = 50.0
"""Design §3. An API server on two cores answers some 800 small writes a second; the rest of the
cluster shall not notice a rollout."""
METRICS_ADDRESS = "0.0.0.0:8080"
LEASE_NAME = "rcm-controller"


@dataclass(frozen=True, slots=True)
class Settings:
    """One run of the controller."""

    kubeconfig: str = ""
    """File; empty: the pod's own credentials, else what kubectl would take."""
    write_budget_per_s: float = WRITE_BUDGET_PER_S
    metrics_host: str = "0.0.0.0"  # noqa: S104 - kubelet and Prometheus come from other hosts
    metrics_port: int = 8080
    """0: any free one, which the log tells."""
    leader_elect: bool = True
    lease_namespace: str = ""
    """Empty: the pod's own, outside of a cluster kube-system."""
    lease_name: str = LEASE_NAME
    identity: str = ""
    """What the Lease shows as holder; empty: host name and a random part."""
    log_json: bool = True
    debug: bool = False
    policy: world.Policy = field(default_factory=world.Policy)
