"""The caches: what the cluster looked like when the API server last said something.

Reflectors feed lists and events, `apply` feeds the replies to its own writes, and the loop takes a
`World` of it. A snapshot costs one shallow copy per kind that changed. What an object's bytes mean
is `decode`'s matter; one that cannot be read never stops the others.

Versions: of two states of an object the newer resourceVersion wins, so the reply to a write may
overtake the watch and not the other way round. A complete list always wins: after etcd was
restored from a backup, versions go back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
import structlog

from rcm_controller import decode, metrics, views, world

View = TypeVar("View")

MAX_COMPLAINTS = 20
"""Different problems of one kind that are logged; beyond that, the metric tells."""

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Cache(Generic[View]):
    """The objects of one kind; a `Sink` of a reflector."""

    def __init__(
        self,
        kind: str,
        decoder: decode.Decode[View],
        *,
        told: metrics.Metrics,
        wake: Callable[[], None],
    ) -> None:
        """Start empty and not synced."""
        self.kind = kind
        self.synced = False
        self._decode = decoder
        self._told = told
        self._wake = wake
        self._lock = threading.Lock()
        self._views: dict[str, View] = {}
        self._unread: set[str] = set()
        """There, and never understood."""
        self._versions: dict[str, int] = {}
        self._position = 0
        """Up to here the watch has told everything."""
        self._snapshot: Mapping[str, View] | None = None
        self._complaints: set[str] = set()

    def read(self, data: bytes) -> decode.Seen[View]:
        """Decode an answer to us, for `feed`."""
        return self._heard(self._decode(data, self._views.get))

    def read_with(self, decoder: decode.Decode[View], data: bytes) -> decode.Seen[View]:
        """Decode an answer that is not the whole object."""
        return self._heard(decoder(data, self._views.get))

    def replace(self, items: Iterable[bytes], *, version: str) -> None:
        """Take a complete list in place of everything."""
        objects = self._all(items)
        with self._lock:
            self._versions = {o.name: _number(o.resource_version) for o in objects}
            self._unread = {o.name for o in objects if o.view is None}
            found = {o.name: o.view for o in objects if o.view is not None}
            changed = found != self._views or not self.synced
            self._views, self._position, self.synced = found, _number(version), True
            self._touch(changed=changed)

    def merge(self, items: Iterable[bytes], *, version: str, only: str = "") -> None:
        """Take a complete list that was read beside the watch, which may be behind or ahead.

        `only`: it was a list of one object, and says nothing of the others.
        """
        objects = self._all(items)
        listed = {o.name for o in objects}
        with self._lock:
            for found in objects:
                self._take(found)
            asked = self._versions.keys() & {only} if only else self._versions.keys()
            for name in asked - listed:
                if self._versions[name] <= _number(version):
                    self._remove(name)

    def put(self, item: bytes) -> None:
        """Take an object that was added or changed, from the watch."""
        for obj in self._all((item,)):
            with self._lock:
                self._position = max(self._position, _number(obj.resource_version))
                self._take(obj)

    def drop(self, item: bytes) -> None:
        """Forget an object that was deleted, from the watch."""
        for obj in self._all((item,)):
            with self._lock:
                version = _number(obj.resource_version)
                self._position = max(self._position, version)
                if version >= self._versions.get(obj.name, 0):
                    self._remove(obj.name)

    def at(self, version: str) -> None:
        """Note that the watch has told everything up to here."""
        with self._lock:
            self._position = max(self._position, _number(version))

    def feed(self, obj: decode.Seen[View]) -> None:
        """Take the reply to a write of ours, unless the watch is further."""
        with self._lock:
            if _number(obj.resource_version) > self._position:
                self._take(obj)

    def forget(self, name: str) -> None:
        """Drop an object that we deleted or could not find; the watch will say so too."""
        with self._lock:
            self._remove(name)

    def views(self) -> Mapping[str, View]:
        """Return all objects as they are now; never changed afterwards."""
        with self._lock:
            if self._snapshot is None:
                self._snapshot = dict(self._views)
            return self._snapshot

    def unread(self) -> frozenset[str]:
        """Return the names of objects that are there and could never be read."""
        with self._lock:
            return frozenset(self._unread)

    def versions(self, some: Iterable[str]) -> Mapping[str, str]:
        """Return the resourceVersions of the objects that are here."""
        with self._lock:
            known = self._versions
            return {name: str(known[name]) for name in some if name in known}

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self._views)

    def _take(self, obj: decode.Seen[View]) -> None:
        version = _number(obj.resource_version)
        if obj.view is None:
            self._unread.add(obj.name)
            return
        if version < self._versions.get(obj.name, 0):
            return
        self._unread.discard(obj.name)
        self._versions[obj.name] = version
        former = self._views.get(obj.name)
        if former is obj.view:
            return
        self._views[obj.name] = obj.view
        self._touch(changed=former != obj.view)

    def _remove(self, name: str) -> None:
        self._versions.pop(name, None)
        self._unread.discard(name)
        if self._views.pop(name, None) is not None:
            self._touch(changed=True)

    def _touch(self, *, changed: bool) -> None:
        if changed:
            self._snapshot = None
            self._wake()

    def _all(self, items: Iterable[bytes]) -> list[decode.Seen[View]]:
        """Decode what can be decoded: one object never stops the others."""
        found: list[decode.Seen[View]] = []
        for item in items:
            try:
                found.append(self.read(item))
            except msgspec.MsgspecError as error:
                self._complain(world.UNNAMED, str(error))
                found.append(decode.Seen(world.UNNAMED, "", None))
        return found

    def _heard(self, found: decode.Seen[View]) -> decode.Seen[View]:
        if found.problem:
            self._complain(found.name, found.problem)
        return found

    def _complain(self, name: str, problem: str) -> None:
        """Count what cannot be read, and log the first of a sort: an agent may write thousands."""
        self._told.count(metrics.UNREADABLE, self.kind)
        if problem not in self._complaints and len(self._complaints) < MAX_COMPLAINTS:
            self._complaints.add(problem)
            _log.warning("object unreadable", kind=self.kind, object=name, problem=problem)


class Store:
    """The four kinds that decisions look at."""

    def __init__(self, *, told: metrics.Metrics, wake: Callable[[], None] = lambda: None) -> None:
        """Start empty; `wake` is called whenever something changed that a plan may depend on."""
        self._wake = wake
        self._changes = 0
        self._edits = 0
        self._shims: Mapping[str, views.ShimView] = {}
        """As they were when `edits` was last asked."""
        self.shims = Cache("Shim", decode.shim_view, told=told, wake=self._changed)
        self.nodes = Cache("Node", decode.node, told=told, wake=self._changed)
        self.runtimes = Cache("NodeRuntime", decode.runtime, told=told, wake=self._changed)
        self.classes = Cache("RuntimeClass", decode.runtime_class, told=told, wake=self._changed)

    def synced(self) -> bool:
        """Tell whether each kind was listed once."""
        return all(cache.synced for cache in self.all())

    def all(self) -> tuple[Cache[Any], ...]:
        """Return the caches."""
        return (self.shims, self.nodes, self.runtimes, self.classes)

    def world(self, *, now: datetime, policy: world.Policy) -> world.World:
        """Return the cluster as it is known now."""
        return world.World(
            now=now,
            shims=self.shims.views(),
            nodes=self.nodes.views(),
            runtimes=self.runtimes.views(),
            classes=self.classes.views(),
            policy=policy,
            unread=self.nodes.unread(),
        )

    def changes(self) -> int:
        """Return a number that grows with each change; the same number, the same world."""
        return self._changes

    def edits(self) -> int:
        """Return a number that grows when Shims say something else than before.

        Their statuses do not count: they are ours. For one thread.
        """
        found = self.shims.views()
        if found is not self._shims:
            self._edits += _asked(found) != _asked(self._shims)
            self._shims = found
        return self._edits

    def _changed(self) -> None:
        self._changes += 1
        self._wake()


def _asked(shims: Mapping[str, views.ShimView]) -> object:
    """Return what users ask, and the finalizers: only with ours a Shim has effects."""
    return {n: (v.uid, v.generation, v.deleting, v.finalizers) for n, v in shims.items()}


def _number(version: str) -> int:
    """Order resourceVersions, which Kubernetes promises to be comparable integers since 1.35."""
    return int(version) if version.isdigit() else 0
