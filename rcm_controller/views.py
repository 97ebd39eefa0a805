"""What the controller keeps of the cluster's objects: small frozen records.

`store` decodes them from the API server's bytes; fields not named here are skipped while decoding
(design §3: 5,000 nodes cost 10 MB this way). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from rcm_api import fields, shim, shim_status


class NodeView(msgspec.Struct, frozen=True, gc=False):
    """A Node, as far as a rollout cares. Two heartbeats of a healthy node give equal views."""

    name: str
    uid: str
    os: str
    """As the kubelet reports it (`status.nodeInfo`); labels can be edited."""
    arch: str
    labels: Mapping[str, str]
    ready: bool
    """The condition Ready is True."""
    ready_changed: datetime | None = None
    """When that condition last changed, by the API server's objects."""
    deleting: bool = False

    @property
    def control_plane(self) -> bool:
        """Tell whether the node carries the control-plane role (kubeadm's label, and its former)."""
        return not self.labels.keys().isdisjoint(_CONTROL_PLANE)


_CONTROL_PLANE = frozenset(
    {
        "node-role.kubernetes.io/control-plane",
        "node-role.kubernetes.io/controlplane",  # Rancher
        "node-role.kubernetes.io/master",  # before Kubernetes 1.24
    }
)


@dataclass(frozen=True, slots=True)
class ShimView:
    """A Shim as it stands in the API server; one that cannot be parsed stays visible."""

    name: str
    uid: str
    generation: int
    created: datetime
    wanted: shim.Shim | None
    """None: `problem` says why."""
    problem: fields.InvalidShim | None
    status: shim_status.ShimStatus
    deleting: datetime | None = None
    finalizers: tuple[str, ...] = ()


class RuntimeClassView(msgspec.Struct, frozen=True):
    """A RuntimeClass."""

    name: str
    uid: str
    resource_version: str
    handler: str
    labels: Mapping[str, str]
    owners: tuple[str, ...]
    """UIDs of its owners."""
    node_selector: Mapping[str, str]
    tolerations: tuple[Mapping[str, Any], ...] = ()
    overhead: Mapping[str, Any] = {}
    deleting: bool = False
