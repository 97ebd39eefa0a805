"""What the controller may do, as records. `rollout` returns them, `apply` carries them out.

Each is safe to repeat and safe to lose: the next look asks for it again if it is still due. Those
that change an object carry the resourceVersion they were decided on, so that a decision made on an
old view is refused (409) instead of done. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rcm_api import noderuntime, shim_status


@dataclass(frozen=True, slots=True)
class LabelNode:
    """Set (True) or remove (False) ready labels of one Node; touches nothing else of it."""

    node: str
    uid: str
    """Of the Node that was looked at; another one of that name is left alone."""
    shims: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class CreateNodeRuntime:
    """Create the object of a node, owned by the Node."""

    node: str
    spec: noderuntime.Spec


@dataclass(frozen=True, slots=True)
class UpdateNodeRuntime:
    """Replace the spec."""

    node: str
    resource_version: str
    spec: noderuntime.Spec
    unlabelled: tuple[str, ...] = ()
    """Shims whose ready label the Node must not carry, asked right before: they are removed, and a
    former leader may have set it later than our watch of Nodes tells."""


@dataclass(frozen=True, slots=True)
class DeleteNodeRuntime:
    """Delete the object: its Node is gone, or nothing is wanted and nothing is left."""

    node: str
    uid: str
    resource_version: str
    gone: str = ""
    """UID of the Node that must not be there any more, asked right before: what we know of Nodes
    may be older than the object."""


@dataclass(frozen=True, slots=True)
class RuntimeClassSpec:
    """A RuntimeClass as it shall be."""

    name: str
    shim: str
    shim_uid: str
    handler: str
    node_selector: Mapping[str, str]
    tolerations: tuple[Mapping[str, Any], ...]
    overhead: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CreateRuntimeClass:
    """Create it."""

    wanted: RuntimeClassSpec


@dataclass(frozen=True, slots=True)
class UpdateRuntimeClass:
    """Repair or adopt it; the handler is the same already."""

    wanted: RuntimeClassSpec
    resource_version: str


@dataclass(frozen=True, slots=True)
class DeleteRuntimeClass:
    """Delete it: the Shim goes, or wants another name or handler."""

    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class SetFinalizer:
    """Hold a Shim before the first effect, release it after the last one."""

    shim: str
    uid: str
    present: bool
    finalizers: tuple[str, ...]
    """As they were seen: others' are kept."""


@dataclass(frozen=True, slots=True)
class WriteShimStatus:
    """Replace the status of a Shim."""

    shim: str
    uid: str
    status: shim_status.ShimStatus


@dataclass(frozen=True, slots=True)
class EmitEvent:
    """Tell a person at an object what happened; `apply` aggregates repeated ones."""

    kind: str
    """`Shim` or `Node`."""
    name: str
    uid: str
    reason: str
    message: str
    warning: bool = False


Action = (
    LabelNode
    | CreateNodeRuntime
    | UpdateNodeRuntime
    | DeleteNodeRuntime
    | CreateRuntimeClass
    | UpdateRuntimeClass
    | DeleteRuntimeClass
    | SetFinalizer
    | WriteShimStatus
    | EmitEvent
)
