"""Create, patch, replace, delete: from an object and a body to the next state in `etcd`."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from tests.fakes.apiserver import answers, changes, rules
from tests.fakes.apiserver.answers import Refusal, Unsupported
from tests.fakes.apiserver.etcd import Entry, Etcd
from tests.fakes.apiserver.kinds import Document
from tests.fakes.apiserver.rules import Target

NAMESPACES = ("default", "kube-system", "kube-node-lease", "kube-public")


class Writer:
    """Writes to one store; `time` gives the time of day as objects have it."""

    def __init__(self, etcd: Etcd, *, time: Callable[[], str]) -> None:
        self.namespaces = set(NAMESPACES)
        self._etcd = etcd
        self._time = time
        self._numbers = itertools.count(1)

    def present(self, target: Target) -> Entry:
        """Return the object, or refuse."""
        entry = self._etcd.get(target.resource, target.key)
        if entry is None:
            raise answers.not_found(target.resource, target.name)
        return entry

    def create(self, target: Target, body: Document, manager: str) -> Entry:
        rules.check_type(target, body)
        metadata = dict(body.get("metadata") or {})
        metadata["name"] = metadata.get("name") or self._generated(target, metadata)
        if metadata.get("resourceVersion"):
            raise answers.internal("resourceVersion should not be set on objects to be created")
        named = Target(target.kind, target.namespace, metadata["name"], "")
        if target.namespace and target.namespace not in self.namespaces:
            raise answers.no_namespace(target.namespace)
        if self._etcd.get(target.resource, named.key) is not None:
            raise answers.already_exists(target.resource, named.name)
        return self._born(named, {**body, "metadata": metadata}, manager)

    def replace(self, target: Target, body: Document, manager: str) -> Entry:
        rules.check_type(target, body)
        metadata = body.get("metadata") or {}
        rules.check_name(target, metadata)
        old = self._etcd.get(target.resource, target.key)
        if old is None and target.kind.born_by_replace:
            return self._born(target, body, manager)
        old = self.present(target)
        uid = metadata.get("uid") or old.metadata["uid"]
        rules.check_preconditions(target, old, {"uid": uid})
        if not metadata.get("resourceVersion") and not target.kind.blind_replace:
            problem = "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
            raise answers.invalid(target.resource, target.name, problem)
        return self._changed(target, old, body, manager)

    def merge(self, target: Target, body: Document, manager: str) -> Entry:
        old = self.present(target)
        return self._changed(target, old, changes.merge(old.document, body), manager)

    def apply(self, target: Target, body: Document, manager: str, *, force: bool) -> Entry:
        rules.check_type(target, body)
        old = self._etcd.get(target.resource, target.key)
        if old is None and target.subresource:
            raise answers.not_found(target.resource, target.name)
        if old is None:
            metadata = {**(body.get("metadata") or {}), "name": target.name}
            return self._born(target, {**body, "metadata": metadata}, manager)
        found = changes.conflicts(old.owners, old.document, changes.owned(body), manager)
        if found and not force:
            raise _apply_conflict(found)
        new, owners = changes.applied(old.owners, old.document, body, manager)
        return self._changed(target, old, new, manager, owners=owners)

    def delete(self, target: Target, options: Mapping[str, Any]) -> Document:
        """Delete; return what the answer says."""
        if options.get("propagationPolicy", "Background") != "Background":
            raise Unsupported(f"propagationPolicy {options['propagationPolicy']}")
        old = self.present(target)
        rules.check_preconditions(target, old, options.get("preconditions") or {})
        if not old.metadata.get("finalizers"):
            self._etcd.delete(target.resource, target.key)
            return _success(target, old)
        if old.metadata.get("deletionTimestamp"):
            return old.document
        document = rules.dying(target, old, time=self._time())
        return self._etcd.put(target.resource, target.key, document, old.owners).document

    def _born(self, target: Target, body: Document, manager: str) -> Entry:
        uid = str(uuid.UUID(int=next(self._numbers)))
        document = rules.born(target, body, uid=uid, time=self._time())
        if problem := rules.malformed(document) or target.kind.check(document, None):
            raise answers.invalid(target.resource, target.name, problem)
        owners = changes.updated({}, {}, body, manager)
        return self._etcd.put(target.resource, target.key, document, owners)

    def _changed(
        self,
        target: Target,
        old: Entry,
        wanted: Document,
        manager: str,
        *,
        owners: changes.Owners | None = None,
    ) -> Entry:
        """Write over an object, by the rules that all writes share; nothing new, no write."""
        rules.check_state(target, old, wanted.get("metadata") or {})
        new = rules.changed(target, old, wanted)
        problem = (
            rules.finalizers_added(old, new)
            or rules.malformed(new)
            or target.kind.check(new, old.document)
        )
        if problem:
            raise answers.invalid(target.resource, target.name, problem)
        if new == old.document and owners in (None, old.owners):
            return old
        if owners is None:
            owners = changes.updated(old.owners, old.document, new, manager)
        if old.metadata.get("deletionTimestamp") and not new["metadata"].get("finalizers"):
            self._etcd.delete(target.resource, target.key)
            return Entry(new)
        return self._etcd.put(target.resource, target.key, new, owners)

    def _generated(self, target: Target, metadata: Mapping[str, Any]) -> str:
        prefix = metadata.get("generateName")
        if not prefix:
            problem = "metadata.name: Required value: name or generateName is required"
            raise answers.invalid(target.resource, "", problem)
        return f"{prefix}{next(self._numbers):05}"


def _success(target: Target, old: Entry) -> Document:
    details = {"name": target.name, "kind": target.resource.plural, "uid": old.metadata["uid"]}
    if target.resource.group:
        details["group"] = target.resource.group
    head = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return {**head, "details": details}


def _apply_conflict(found: Mapping[str, list[changes.Path]]) -> Refusal:
    count = sum(map(len, found.values()))
    said = "; ".join(
        f'conflict with "{manager}": {", ".join("." + ".".join(path) for path in paths)}'
        for manager, paths in sorted(found.items())
    )
    noun = "conflict" if count == 1 else "conflicts"
    return Refusal(409, "Conflict", f"Apply failed with {count} {noun}: {said}")
