"""From the API server's bytes to the slim records of `views`; what is not named here is skipped.

Called by `store` for every object of a list, a watch and the reply to a write. Each function may
ask for the view that was: an object that says the same again gives the same record again, so that
a heartbeat neither costs memory nor wakes the planner. Pure.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec

from rcm_api import fields, noderuntime, shim, shim_status
from rcm_controller import views

View = TypeVar("View")

Known = Callable[[str], View | None]
"""The view that was, by name."""


class Seen(msgspec.Struct, Generic[View], frozen=True, gc=False):
    """One decoded object."""

    name: str
    resource_version: str
    view: View | None
    """None: nothing of it can be read but its name."""
    problem: str = ""
    """Why `view` lacks a part, or has a former one in its place."""


Decode = Callable[[bytes, Known[View]], Seen[View]]


class _Wire(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Base of what is decoded here."""


class _Owner(_Wire, frozen=True):
    uid: str = ""


class _Metadata(_Wire, frozen=True):
    name: str
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] | None = None
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[_Owner, ...] = ()


class _Name(_Wire, frozen=True):
    name: str
    uid: str = ""
    resource_version: str = ""


class _Named(_Wire, frozen=True):
    metadata: _Name


class _NodeMetadata(_Wire, frozen=True):
    name: str
    uid: str = ""
    resource_version: str = ""
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] | None = None


class _Condition(_Wire, frozen=True):
    type: str
    status: str = ""
    last_transition_time: datetime | None = None


class _NodeInfo(_Wire, frozen=True):
    operating_system: str = ""
    architecture: str = ""


class _NodeStatus(_Wire, frozen=True):
    conditions: tuple[_Condition, ...] | None = None
    node_info: _NodeInfo = _NodeInfo()


class _Node(_Wire, frozen=True):
    metadata: _NodeMetadata
    status: _NodeStatus = _NodeStatus()


class _Object(_Wire, frozen=True):
    metadata: _Metadata


class _Scheduling(_Wire, frozen=True):
    node_selector: dict[str, str] | None = None
    tolerations: tuple[dict[str, Any], ...] | None = None


class _RuntimeClass(_Wire, frozen=True):
    metadata: _Metadata
    handler: str = ""
    scheduling: _Scheduling | None = None
    overhead: dict[str, Any] | None = None


class _SpecOnly(_Wire, frozen=True):
    metadata: noderuntime.Metadata
    spec: noderuntime.Spec = noderuntime.Spec()


class _ShimStatus(_Wire, frozen=True):
    metadata: _Metadata
    status: shim_status.ShimStatus = shim_status.ShimStatus()


_NODE = msgspec.json.Decoder(_Node)
_OBJECT = msgspec.json.Decoder(_Object)
_NAMED = msgspec.json.Decoder(_Named)
_RUNTIME_CLASS = msgspec.json.Decoder(_RuntimeClass)
_SPEC_ONLY = msgspec.json.Decoder(_SpecOnly)
_SHIM = msgspec.json.Decoder(_ShimStatus)
_DOCUMENT: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def node(data: bytes, known: Known[views.NodeView]) -> Seen[views.NodeView]:
    """Return a Node; two heartbeats give the identical view."""
    try:
        found = _NODE.decode(data)
    except msgspec.MsgspecError as error:
        return _unread(data, known, error)
    meta, former = found.metadata, known(found.metadata.name)
    ready = next((c for c in found.status.conditions or () if c.type == "Ready"), None)
    view = views.NodeView(
        name=meta.name,
        uid=meta.uid,
        os=sys.intern(found.status.node_info.operating_system),
        arch=sys.intern(found.status.node_info.architecture),
        labels=_labels(meta.labels, former),
        ready=ready is not None and ready.status == "True",
        ready_changed=None if ready is None else ready.last_transition_time,
        deleting=meta.deletion_timestamp is not None,
    )
    same = former is not None and former == view
    return Seen(meta.name, meta.resource_version, former if same and former is not None else view)


def node_metadata(data: bytes, known: Known[views.NodeView]) -> Seen[views.NodeView]:
    """Return a Node from an answer that is its metadata only; the rest is as it was."""
    meta = _OBJECT.decode(data).metadata
    former = known(meta.name)
    if former is None or former.uid != meta.uid:
        return Seen(meta.name, meta.resource_version, None)
    view = msgspec.structs.replace(former, labels=_labels(meta.labels, former))
    return Seen(meta.name, meta.resource_version, view)


def _labels(found: dict[str, str] | None, former: views.NodeView | None) -> Mapping[str, str]:
    """Return labels that share their strings with those of all other nodes."""
    labels = found or {}
    if former is not None and former.labels == labels:
        return former.labels
    return {sys.intern(key): sys.intern(value) for key, value in labels.items()}


def runtime(data: bytes, known: Known[noderuntime.NodeRuntime]) -> Seen[noderuntime.NodeRuntime]:
    """Return a NodeRuntime; of a status that a newer agent wrote, the last one we understood."""
    try:
        view, problem = noderuntime.parse(data), ""
    except msgspec.MsgspecError as error:
        found = _SPEC_ONLY.decode(data)
        former = known(found.metadata.name)
        status = noderuntime.Status() if former is None else former.status
        view = noderuntime.NodeRuntime(metadata=found.metadata, spec=found.spec, status=status)
        problem = str(error)
    return Seen(view.name, view.metadata.resource_version, _shared(view, known(view.name)), problem)


def _shared(
    view: noderuntime.NodeRuntime, former: noderuntime.NodeRuntime | None
) -> noderuntime.NodeRuntime:
    """Keep the parts that did not change: most writes change one of spec and status."""
    if former is None:
        return view
    return noderuntime.NodeRuntime(
        metadata=view.metadata,
        spec=former.spec if former.spec == view.spec else view.spec,
        status=former.status if former.status == view.status else view.status,
    )


def shim_view(data: bytes, known: Known[views.ShimView]) -> Seen[views.ShimView]:
    """Return a Shim; one that says something impossible is there with its problem.

    Were it left out, its nodes would be cleaned as those of a Shim that is gone.
    """
    try:
        meta = _OBJECT.decode(data).metadata
    except msgspec.MsgspecError as error:
        return _held(data, known, error)
    former = known(meta.name)
    try:
        status, trouble = _SHIM.decode(data).status, ""
    except msgspec.MsgspecError as error:
        status = shim_status.ShimStatus() if former is None else former.status
        trouble = str(error)
    wanted, problem = _wanted(data)
    view = views.ShimView(
        name=meta.name,
        uid=meta.uid,
        generation=meta.generation,
        created=meta.creation_timestamp or _LONG_AGO,
        wanted=wanted,
        problem=problem,
        status=status,
        deleting=meta.deletion_timestamp,
        finalizers=meta.finalizers,
    )
    return Seen(meta.name, meta.resource_version, view, trouble)


def _held(
    data: bytes, known: Known[views.ShimView], error: msgspec.MsgspecError
) -> Seen[views.ShimView]:
    meta = _NAMED.decode(data).metadata
    problem = fields.InvalidShim("metadata", "cannot be read", "delete the Shim and apply it anew")
    held = views.ShimView(
        name=meta.name,
        uid=meta.uid,
        generation=0,
        created=_LONG_AGO,
        wanted=None,
        problem=problem,
        status=shim_status.ShimStatus(),
    )
    return Seen(meta.name, meta.resource_version, known(meta.name) or held, str(error))


def _wanted(data: bytes) -> tuple[shim.Shim | None, fields.InvalidShim | None]:
    try:
        return shim.parse(_DOCUMENT.decode(data)), None
    except fields.InvalidShim as error:
        return None, error


def runtime_class(
    data: bytes, known: Known[views.RuntimeClassView]
) -> Seen[views.RuntimeClassView]:
    """Return a RuntimeClass."""
    try:
        found = _RUNTIME_CLASS.decode(data)
    except msgspec.MsgspecError as error:
        return _unread(data, known, error)
    meta, scheduling = found.metadata, found.scheduling or _Scheduling()
    view = views.RuntimeClassView(
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resource_version,
        handler=found.handler,
        labels=meta.labels or {},
        owners=tuple(owner.uid for owner in meta.owner_references),
        node_selector=scheduling.node_selector or {},
        tolerations=scheduling.tolerations or (),
        overhead=found.overhead or {},
        deleting=meta.deletion_timestamp is not None,
    )
    return Seen(meta.name, meta.resource_version, view)


def _unread(data: bytes, known: Known[View], error: msgspec.MsgspecError) -> Seen[View]:
    """Keep the view that was.

    Raises:
        msgspec.MsgspecError: not even a name is there.
    """
    meta = _NAMED.decode(data).metadata
    return Seen(meta.name, meta.resource_version, known(meta.name), str(error))
