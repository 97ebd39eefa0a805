"""Which kinds of object the model keeps, and the rules in which they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rcm_api.client.resources import (
    EVENTS,
    LEASES,
    NODERUNTIMES,
    NODES,
    RUNTIMECLASSES,
    SHIMS,
    Resource,
)

Document = dict[str, Any]
Check = Callable[[Mapping[str, Any], Mapping[str, Any] | None], str]
"""From the new and the former object to what is wrong with the new one; empty: nothing."""


def anything(_new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> str:
    """Let every object pass."""
    return ""


def same_handler(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse another handler: it is immutable, and required."""
    if not new.get("handler"):
        return "handler: Required value"
    if old is not None and old["handler"] != new["handler"]:
        return f'handler: Invalid value: "{new["handler"]}": field is immutable'
    return ""


def right_namespace(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> str:
    """Refuse an Event beside its object; those about objects without one are in `default`."""
    about = (new.get("involvedObject") or {}).get("namespace") or "default"
    if about != new["metadata"]["namespace"]:
        return f'involvedObject.namespace: Invalid value: "{about}": does not match event.namespace'
    return ""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object."""

    resource: Resource
    status: bool = False
    """Has a status subresource."""
    generation: bool = False
    """Counts changes outside metadata and status, as custom resources do."""
    custom: bool = False
    """A custom resource: stricter than built-in kinds about apiVersion and kind of what it gets."""
    status_at_birth: bool = False
    """A create may bring a status: kubelets register so."""
    blind_replace: bool = False
    """A replace without a resourceVersion is taken (AllowUnconditionalUpdate)."""
    born_by_replace: bool = False
    """A replace of what is not there creates it (AllowCreateOnUpdate)."""
    check: Check = anything
    fields: tuple[str, ...] = ()
    """What a field selector may name besides metadata.name and metadata.namespace."""


def custom(resource: Resource, *, check: Check = anything) -> Kind:
    """Return a custom resource with a status subresource."""
    return Kind(resource, status=True, generation=True, custom=True, check=check)


USUAL = (
    custom(SHIMS),
    custom(NODERUNTIMES),
    Kind(NODES, status=True, status_at_birth=True, blind_replace=True),
    Kind(RUNTIMECLASSES, check=same_handler),
    Kind(LEASES, born_by_replace=True),
    Kind(
        EVENTS,
        blind_replace=True,
        born_by_replace=True,
        check=right_namespace,
        fields=("involvedObject.kind", "involvedObject.name", "involvedObject.uid", "reason"),
    ),
)
