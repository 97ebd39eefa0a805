"""Objects with every field filled, as long as they are in life."""

from datetime import datetime

from rcm_api import noderuntime, shim_status
from rcm_api.conditions import Condition
from rcm_api.noderuntime import Artifact, Facts, Phase, ShimObserved, ShimWanted, Wanted

URL = (
    "https://github.com/spinframework/containerd-shim-spin/releases/download/v0.25.1/"
    "containerd-shim-spin-v2-linux-x86_64.tar.gz"
)


def node_runtime(
    at: datetime, *, shims: int = 1, name: str = "worker-1"
) -> noderuntime.NodeRuntime:
    """A NodeRuntime in the middle of a rollout."""
    return noderuntime.NodeRuntime(
        metadata=noderuntime.Metadata(name=name),
        spec=noderuntime.Spec(
            node_uid="0c8a2f6e-5d0e-4b3c-9a53-8c1c2a7f3d10",
            shims=tuple(_wanted(f"spin-v{index}", at) for index in range(shims)),
        ),
        status=node_status(at, shims=shims),
    )


def _wanted(name: str, at: datetime) -> ShimWanted:
    return ShimWanted(
        name=name,
        handler=name,
        artifact=Artifact(url=URL, sha256="5" * 64, binary="containerd-shim-spin-v2"),
        digest="d" * 64,
        phase=Wanted.ACTIVE,
        options={"SystemdCgroup": True, "Count": 3, "Name": "text"},
        attempt=1,
        asked_at=at,
    )


def node_status(at: datetime, *, shims: int = 1) -> noderuntime.Status:
    """What its agent says."""
    return noderuntime.summarized(
        noderuntime.Status(
            observed_generation=7,
            facts=Facts(
                os="linux",
                arch="amd64",
                distribution="debian",
                containerd="1.7.24",
                schema=2,
                strategy="in-place block",
                machine_id="a" * 32,
                boot_id="0c8a2f6e-5d0e-4b3c-9a53-8c1c2a7f3d10",
                agent="0.1.0",
            ),
            shims=tuple(_observed(f"spin-v{index}", at) for index in range(shims)),
            restarts=2,
            rollbacks=1,
            drift_repairs=1,
            conditions=(
                condition("Healthy", "False", at, "RestartFailed"),
                condition("Supported", "True", at, "Containerd"),
                condition("Conflict", "False", at, "None"),
            ),
        )
    )


def _observed(name: str, at: datetime) -> ShimObserved:
    return ShimObserved(
        name=name,
        phase=Phase.ROLLED_BACK,
        handler=name,
        digest="c" * 64,
        observed_digest="d" * 64,
        observed_attempt=1,
        sha256="5" * 64,
        size=41_943_040,
        version="0.25.1",
        in_use=3,
        reason="HandlerMissing",
        message="containerd lists no handler spin-v2 after the restart; see journalctl -u containerd",
        time=at,
    )


def shim_status_full(at: datetime) -> shim_status.ShimStatus:
    """A Shim in the middle of a rollout."""
    return shim_status.ShimStatus(
        observed_generation=3,
        nodes=50,
        nodes_ready=12,
        nodes_updating=5,
        nodes_waiting=1,
        nodes_failed=2,
        nodes_unsupported=3,
        nodes_outdated=27,
        nodes_draining=1,
        artifacts=(
            shim_status.PinnedArtifact(
                os="linux", arch="amd64", location=URL, sha256="5" * 64, size=1,
                trusted_on_first_use=True,
            ),
        ),
        canaries=(
            shim_status.Canary(
                node_class="linux/amd64/debian/1.7", digest="d" * 64, ready_at=at
            ),
        ),
        conditions=(
            condition("Ready", "False", at, "NodesNotReady"),
            condition("Progressing", "True", at, "RollingOut"),
            Condition(type="Conflict", status="False"),
        ),
    )  # fmt: skip


def condition(kind, status, at, reason):
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=f"{reason}: 12 of 50 nodes are ready",
        last_transition_time=at,
        observed_generation=3,
    )
