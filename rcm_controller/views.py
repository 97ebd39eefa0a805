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

from rcm_api import fields, names, shim, shim_status


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
    control_plane: bool = False
    """Read off the labels, whatever is passed: the role by kubeadm's label, or a former one."""
    marks: Mapping[str, str] = {}
    """Read off the labels too: our ready labels, by Shim. Each look at thousands of nodes asks."""

    def __post_init__(self) -> None:
        """Read the labels once; an equal node has equal ones."""
        control_plane = not self.labels.keys().isdisjoint(_CONTROL_PLANE)
        msgspec.structs.force_setattr(self, "control_plane", control_plane)
        msgspec.structs.force_setattr(self, "marks", _marks(self.labels))


def _marks(labels: Mapping[str, str]) -> Mapping[str, str]:
    prefix = names.READY_PREFIX
    found = {k.removeprefix(prefix): v for k, v in labels.items() if k.startswith(prefix)}
    return found or _NO_MARKS


_NO_MARKS: Mapping[str, str] = {}
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
