"""What a write may change, and what it must say: rules that all kinds share. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rcm_api.client.resources import Resource
from tests.fakes.apiserver import answers
from tests.fakes.apiserver.etcd import Entry, Key
from tests.fakes.apiserver.kinds import Document, Kind

KEPT = ("uid", "creationTimestamp", "generation", "deletionTimestamp")
"""Of metadata: what no writer changes."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names."""

    kind: Kind
    namespace: str
    name: str
    subresource: str

    @property
    def resource(self) -> Resource:
        return self.kind.resource

    @property
    def key(self) -> Key:
        return self.namespace, self.name


def check_type(target: Target, body: Mapping[str, Any]) -> None:
    """Refuse a wrong type; only custom resources must say theirs."""
    for field, right in (
        ("apiVersion", target.resource.api_version),
        ("kind", target.resource.kind),
    ):
        said = body.get(field) or ("" if target.kind.custom else right)
        if said != right:
            raise answers.bad(f"{field} is {said!r} and not {right!r}")


def check_name(target: Target, metadata: Mapping[str, Any]) -> None:
    """Refuse a body about another object than the path."""
    if metadata.get("name") != target.name:
        raise answers.bad(
            f"the name of the object ({metadata.get('name', '')}) does not match the name on the "
            f"URL ({target.name})"
        )


def check_state(target: Target, old: Entry, metadata: Mapping[str, Any]) -> None:
    """Refuse a write that was decided on another state, or about another object."""
    asked = str(metadata.get("resourceVersion") or "")
    if asked and asked != old.metadata["resourceVersion"]:
        raise answers.modified(target.resource, target.name)
    uid = metadata.get("uid") or old.metadata["uid"]
    if target.kind.custom and target.subresource:
        return  # the metadata of a custom resource's status are not looked at any further
    if uid != old.metadata["uid"]:
        problem = f'metadata.uid: Invalid value: "{uid}": field is immutable'
        raise answers.invalid(target.resource, target.name, problem)


def check_preconditions(target: Target, old: Entry, wanted: Mapping[str, str]) -> None:
    """Refuse a deletion of another object or state."""
    for field, spelled in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        asked = wanted.get(field)
        if asked and asked != old.metadata[field]:
            problem = (
                f"Precondition failed: {spelled} in precondition: {asked}, "
                f"{spelled} in object meta: {old.metadata[field]}"
            )
            raise answers.precondition(target.resource, target.name, problem)


def born(target: Target, body: Document, *, uid: str, time: str) -> Document:
    """Return a new object as the server keeps it."""
    kind = target.kind
    metadata = {key: value for key, value in body["metadata"].items() if key not in KEPT}
    metadata |= {"uid": uid, "creationTimestamp": time}
    if target.namespace:
        metadata["namespace"] = target.namespace
    if kind.generation:
        metadata["generation"] = 1
    document = {
        "apiVersion": kind.resource.api_version,
        "kind": kind.resource.kind,
        **body,
        "metadata": tidy(metadata),
    }
    if kind.status and not kind.status_at_birth:
        document.pop("status", None)
    return document


def changed(target: Target, old: Entry, new: Document) -> Document:
    """Return `new` with all put back that this endpoint may not change."""
    if target.subresource == "status":
        return _with_status(old.document, new)
    kept = {key: old.metadata[key] for key in (*KEPT, "resourceVersion") if key in old.metadata}
    metadata = {k: v for k, v in (new.get("metadata") or {}).items() if k not in KEPT}
    document = {**new, "metadata": tidy({**metadata, **kept})}
    if target.kind.status:
        document = _with_status(document, old.document)
    if target.kind.generation and spec(document) != spec(old.document):
        document["metadata"]["generation"] += 1
    return document


def dying(target: Target, old: Entry, *, time: str) -> Document:
    """Return an object that finalizers hold, marked as deleted."""
    metadata = {**old.metadata, "deletionTimestamp": time, "deletionGracePeriodSeconds": 0}
    if target.kind.generation:
        metadata["generation"] += 1
    return {**old.document, "metadata": metadata}


def malformed(document: Mapping[str, Any]) -> str:
    """Say what is wrong with an object's name or labels; empty: nothing."""
    metadata = document["metadata"]
    if not _NAME.fullmatch(metadata["name"]):
        return f'metadata.name: Invalid value: "{metadata["name"]}": a lowercase RFC 1123 subdomain'
    for key, value in (metadata.get("labels") or {}).items():
        if not isinstance(value, str) or not _LABEL.fullmatch(value):
            return f'metadata.labels: Invalid value: "{value}": a valid label must be …'
        if not _NAME_PART.fullmatch(key.rpartition("/")[2]):
            return f'metadata.labels: Invalid value: "{key}": name part must consist of …'
    return ""


_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_NAME_PART = re.compile(r"(?=.{1,63}$)[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_LABEL = re.compile(r"|(?=.{1,63}$)[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def finalizers_added(old: Entry, new: Document) -> str:
    """Say which finalizers came too late; empty: none."""
    if not old.metadata.get("deletionTimestamp"):
        return ""
    before = set(old.metadata.get("finalizers") or ())
    added = [name for name in new["metadata"].get("finalizers") or () if name not in before]
    if not added:
        return ""
    return (
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being "
        f"deleted, found new finalizers {added}"
    )


def spec(document: Mapping[str, Any]) -> Document:
    """Return what generation counts changes of."""
    return {key: value for key, value in document.items() if key not in {"metadata", "status"}}


def tidy(metadata: Mapping[str, Any]) -> Document:
    """Leave out what is empty, as the server does."""
    return {key: value for key, value in metadata.items() if value not in ({}, [], None)}


def _with_status(document: Document, source: Mapping[str, Any]) -> Document:
    found = {key: value for key, value in document.items() if key != "status"}
    return found if source.get("status") is None else {**found, "status": source["status"]}
