"""Sandboxes of our own: the proof that a handler works, and their removal.

Called by `containerd`. They are on the host's network, so no CNI is asked, and carry a label, so
that what a killed agent left is known and removed by the next one.
"""

from __future__ import annotations

import time
import uuid

from rcm_agent import errors
from rcm_agent.host import cri
from rcm_agent.host.channel import Channel
from rcm_agent.host.proto import cri_pb2 as pb

PROOF_LABEL = "runtime.spinkube.dev/proof"
"""On every sandbox of ours, so that one that a killed agent left is known and removed."""

PROOF_NAMESPACE = "rcm-proof"

STALE_S = 120.0
"""A proof takes a tenth of a second: one of this age belongs to an agent that died. A guess."""

_SYSTEMD_PARENT = "/system.slice"
"""Where a sandbox of ours goes if the handler uses systemd's cgroup driver, which needs a slice:
without one, runc says `expected cgroupsPath to be of format "slice:prefix:name"`."""

CLEAR_S = 10.0
"""For tidying up after a failure. A guess."""


def run(channel: Channel, *, handler: str, name: str, timeout_s: float) -> str:
    """Start a host-network sandbox of our own with `handler`; its id.

    What agents that died left behind is removed first. If this fails, nothing is left.

    Raises:
        CriError: with containerd's own words.
    """
    deadline = time.monotonic() + timeout_s
    remove_leftovers(channel, name=name, timeout_s=timeout_s)
    config = cri.config_of(cri.full_status(channel, timeout_s=deadline - time.monotonic()))
    request = pb.RunPodSandboxRequest(
        config=_config(name, cgroup_parent=_cgroup_parent(config, handler)),
        runtime_handler=handler,
    )
    try:
        answer = channel.call(
            cri.RUNTIME + "RunPodSandbox",
            request,
            pb.RunPodSandboxResponse.FromString,
            timeout_s=deadline - time.monotonic(),
        )
    except errors.CriError:
        _clear(channel, name=name)
        raise
    return answer.pod_sandbox_id


def remove_leftovers(channel: Channel, *, name: str, timeout_s: float) -> None:
    """Remove sandboxes of ours that have this name, or that are too old to be in use."""
    deadline = time.monotonic() + timeout_s
    for item in cri.items(channel, timeout_s=timeout_s):
        label = item.labels.get(PROOF_LABEL)
        age_s = time.time() - item.created_at / 1e9
        if label is not None and (label == name or age_s > STALE_S):
            cri.remove_sandbox(channel, item.id, timeout_s=deadline - time.monotonic())


def _cgroup_parent(config: cri.Json, handler: str) -> str:
    options = cri.table(cri.table(cri.runtimes(config).get(handler)).get("options"))
    return _SYSTEMD_PARENT if options.get("SystemdCgroup") is True else ""


def _config(name: str, *, cgroup_parent: str) -> pb.PodSandboxConfig:
    # As a kubelet asks for an ordinary pod, but for the network.
    spaces = pb.NamespaceOption(network=pb.NODE, pid=pb.CONTAINER, ipc=pb.POD)
    return pb.PodSandboxConfig(
        # Its own uid each time: containerd reserves the name of a sandbox that it cannot remove.
        metadata=pb.PodSandboxMetadata(
            name=name, uid=str(uuid.uuid4()), namespace=PROOF_NAMESPACE, attempt=0
        ),
        labels={PROOF_LABEL: name},
        linux=pb.LinuxPodSandboxConfig(
            cgroup_parent=cgroup_parent,
            security_context=pb.LinuxSandboxSecurityContext(namespace_options=spaces),
        ),
    )


def _clear(channel: Channel, *, name: str) -> None:
    """Try to leave nothing of a failed start; the first failure is the one worth telling."""
    try:
        remove_leftovers(channel, name=name, timeout_s=CLEAR_S)
    except errors.CriError:
        return
