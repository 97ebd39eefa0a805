"""What is sent to the API server for each action. Pure; called by `apply`.

Merge patches name every field that we own and nothing else. They carry uid or resourceVersion, so
that the server refuses a decision that was made about another object or an older state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from rcm_api import names, noderuntime, shim_status
from rcm_api.client import resources
from rcm_controller import actions

MANAGED = {"app.kubernetes.io/managed-by": names.MANAGER}
Body = Mapping[str, Any]


def labels(action: actions.LabelNode, *, version: str) -> Body:
    """Set and remove ready labels; null removes."""
    wanted = {
        names.ready_label(shim): names.READY if ready else None
        for shim, ready in action.shims.items()
    }
    seen = {"uid": action.uid, "resourceVersion": version}
    return {"metadata": {key: v for key, v in seen.items() if v} | {"labels": wanted}}


def new_runtime(action: actions.CreateNodeRuntime) -> Body:
    """Return a NodeRuntime that goes when its Node goes."""
    return {
        "apiVersion": resources.NODERUNTIMES.api_version,
        "kind": resources.NODERUNTIMES.kind,
        "metadata": {
            "name": action.node,
            "labels": MANAGED,
            "ownerReferences": [
                {
                    "apiVersion": resources.NODES.api_version,
                    "kind": resources.NODES.kind,
                    "name": action.node,
                    "uid": action.spec.node_uid,
                }
            ],
        },
        "spec": _spec(action.spec),
    }


def runtime_spec(action: actions.UpdateNodeRuntime) -> Body:
    """Replace the spec: lists are replaced whole, and no field of it is left out."""
    return {
        "metadata": {"resourceVersion": action.resource_version},
        "spec": _spec(action.spec),
    }


def _spec(spec: noderuntime.Spec) -> Body:
    """Return every field, those with their default too: null in a merge patch removes."""
    found: dict[str, Any] = dict.fromkeys(noderuntime.Spec.__struct_encode_fields__)
    found.update(msgspec.to_builtins(spec))
    return found


def new_class(wanted: actions.RuntimeClassSpec) -> Body:
    """Return a RuntimeClass that belongs to the Shim."""
    return changed_class({"metadata": {"name": wanted.name}}, wanted)


def changed_class(found: Mapping[str, Any], wanted: actions.RuntimeClassSpec) -> Body:
    """Return a RuntimeClass as it shall be; foreign labels, annotations and owners stay."""
    meta = found["metadata"]
    owners = [o for o in meta.get("ownerReferences", []) if o.get("uid") != wanted.shim_uid]
    scheduling = {"nodeSelector": wanted.node_selector, "tolerations": wanted.tolerations}
    document = {
        **found,
        "apiVersion": resources.RUNTIMECLASSES.api_version,
        "kind": resources.RUNTIMECLASSES.kind,
        "metadata": {
            **meta,
            "labels": {**meta.get("labels", {}), **MANAGED},
            "ownerReferences": [*owners, _owner(wanted)],
        },
        "handler": wanted.handler,
        "scheduling": {key: value for key, value in scheduling.items() if value},
        "overhead": wanted.overhead,
    }
    return {key: value for key, value in document.items() if value}


def _owner(wanted: actions.RuntimeClassSpec) -> Body:
    return {
        "apiVersion": resources.SHIMS.api_version,
        "kind": resources.SHIMS.kind,
        "name": wanted.shim,
        "uid": wanted.shim_uid,
    }


def finalizers(action: actions.SetFinalizer, *, version: str) -> Body:
    """Add or take away our finalizer; the order of others' stays."""
    others = [name for name in action.finalizers if name != names.FINALIZER]
    ours = [names.FINALIZER] if action.present else []
    meta = {"uid": action.uid, "resourceVersion": version, "finalizers": others + ours}
    return {"metadata": meta}


def status(uid: str, found: shim_status.ShimStatus, *, version: str) -> Body:
    """Replace a Shim's status; every field of it is written."""
    return {
        "metadata": {"uid": uid, "resourceVersion": version},
        "status": msgspec.to_builtins(found, builtin_types=()),
    }
