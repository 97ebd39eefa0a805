"""The API server's truth: objects with resource versions, and atomic writes with preconditions.

Called by controllers and agents. Each change is kept in a log, from which every controller's
`cache` catches up as late as its watch is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from rcm_api import names, noderuntime
from rcm_controller import actions, views

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
KINDS: tuple[str, ...] = ("shims", "nodes", "runtimes", "classes")


class Refused(Exception):  # noqa: N818 - reads as what it is
    """The API server says no: conflict, already there, or gone."""


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the log."""

    time: float
    revision: int
    name: str
    object: Any
    """None: deleted."""


@dataclass(slots=True)
class Lease:
    """Who leads."""

    holder: str = ""
    revision: int = 0


@dataclass(slots=True)
class Cluster:
    """All objects as they are now."""

    now: float = 0.0
    revision: int = 0
    lease: Lease = field(default_factory=Lease)
    objects: dict[str, dict[str, Any]] = field(default_factory=lambda: {k: {} for k in KINDS})
    log: dict[str, list[Change]] = field(default_factory=lambda: {k: [] for k in KINDS})
    events: int = 0
    listeners: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    """Called after each change."""

    @property
    def shims(self) -> dict[str, views.ShimView]:
        return self.objects["shims"]

    @property
    def nodes(self) -> dict[str, views.NodeView]:
        return self.objects["nodes"]

    @property
    def runtimes(self) -> dict[str, noderuntime.NodeRuntime]:
        return self.objects["runtimes"]

    @property
    def classes(self) -> dict[str, views.RuntimeClassView]:
        return self.objects["classes"]

    def time(self, skew: float = 0.0) -> datetime:
        """Return the time of day."""
        return EPOCH + timedelta(seconds=self.now + skew)

    def put(self, kind: str, name: str, found: Any) -> Change:
        """Create or replace an object; it gets its resource version here."""
        self.revision += 1
        if kind == "runtimes":
            metadata = msgspec.structs.replace(found.metadata, resource_version=str(self.revision))
            found = msgspec.structs.replace(found, metadata=metadata)
        elif kind == "classes":
            found = msgspec.structs.replace(found, resource_version=str(self.revision))
        self.objects[kind][name] = found
        return self._logged(kind, name, found)

    def drop(self, kind: str, name: str) -> Change:
        """Delete an object."""
        self.revision += 1
        del self.objects[kind][name]
        return self._logged(kind, name, None)

    def _logged(self, kind: str, name: str, found: Any) -> Change:
        change = Change(self.now, self.revision, name, found)
        self.log[kind].append(change)
        for listener in self.listeners:
            listener()
        return change

    def write_status(self, name: str, uid: str, status: noderuntime.Status) -> bool:
        """Store what an agent says; False: its object is another one by now, or gone."""
        found = self.runtimes.get(name)
        if found is None or found.metadata.uid != uid:
            return False
        self.put("runtimes", name, msgspec.structs.replace(found, status=status))
        return True

    def carry_out(  # noqa: C901 - one line per kind of action
        self, action: actions.Action
    ) -> tuple[str, Change] | None:
        """Do what a controller asks for, all or nothing; return the object after it.

        Raises:
            Refused: a precondition does not hold; nothing happened.
        """
        match action:
            case actions.LabelNode():
                return self._label(action)
            case actions.CreateNodeRuntime():
                return self._create_runtime(action)
            case actions.UpdateNodeRuntime():
                return self._update_runtime(action)
            case actions.DeleteNodeRuntime():
                return self._delete_runtime(action)
            case actions.CreateRuntimeClass():
                return self._create_class(action)
            case actions.UpdateRuntimeClass():
                return self._update_class(action)
            case actions.DeleteRuntimeClass():
                return self._delete_class(action)
            case actions.SetFinalizer():
                return self._finalizer(action)
            case actions.WriteShimStatus():
                return self._status(action)
            case actions.EmitEvent():
                self.events += 1
                return None

    def _label(self, action: actions.LabelNode) -> tuple[str, Change]:
        node = self._known("nodes", action.node)
        if node.uid != action.uid:
            raise Refused("another node of that name")
        labels = dict(node.labels)
        for shim, on in action.shims.items():
            labels.pop(names.ready_label(shim), None)
            if on:
                labels[names.ready_label(shim)] = names.READY
        return "nodes", self.put("nodes", node.name, msgspec.structs.replace(node, labels=labels))

    def _create_runtime(self, action: actions.CreateNodeRuntime) -> tuple[str, Change]:
        if action.node in self.runtimes:
            raise Refused("already exists")
        metadata = noderuntime.Metadata(name=action.node, uid=f"nr-{self.revision}", generation=1)
        found = noderuntime.NodeRuntime(metadata=metadata, spec=action.spec)
        return "runtimes", self.put("runtimes", action.node, found)

    def _update_runtime(self, action: actions.UpdateNodeRuntime) -> tuple[str, Change]:
        found = self._at("runtimes", action.node, action.resource_version)
        node = self.nodes.get(action.node)
        if node is not None and not node.marks.keys().isdisjoint(action.unlabelled):
            raise Refused("pods may still be sent to its Node")
        changed = found.spec != action.spec
        metadata = msgspec.structs.replace(
            found.metadata, generation=found.metadata.generation + changed
        )
        after = msgspec.structs.replace(found, metadata=metadata, spec=action.spec)
        return "runtimes", self.put("runtimes", action.node, after)

    def _delete_runtime(self, action: actions.DeleteNodeRuntime) -> tuple[str, Change]:
        found = self._at("runtimes", action.node, action.resource_version)
        if found.metadata.uid != action.uid:
            raise Refused("another object of that name")
        node = self.nodes.get(action.node)
        if action.gone and node is not None and node.uid == action.gone:
            raise Refused("its Node is there")
        return "runtimes", self.drop("runtimes", action.node)

    def _create_class(self, action: actions.CreateRuntimeClass) -> tuple[str, Change]:
        if action.wanted.name in self.classes:
            raise Refused("already exists")
        found = _class(action.wanted, f"rc-{self.revision}")
        return "classes", self.put("classes", found.name, found)

    def _update_class(self, action: actions.UpdateRuntimeClass) -> tuple[str, Change]:
        found = self._at("classes", action.wanted.name, action.resource_version)
        if found.handler != action.wanted.handler:
            raise Refused("handler is immutable")
        return "classes", self.put("classes", found.name, _class(action.wanted, found.uid))

    def _delete_class(self, action: actions.DeleteRuntimeClass) -> tuple[str, Change]:
        found = self._at("classes", action.name, action.resource_version)
        if found.uid != action.uid:
            raise Refused("another object of that name")
        return "classes", self.drop("classes", action.name)

    def _finalizer(self, action: actions.SetFinalizer) -> tuple[str, Change]:
        shim = self._shim(action.shim, action.uid)
        if shim.finalizers != action.finalizers:
            raise Refused("finalizers have changed")
        others = tuple(f for f in shim.finalizers if f != names.FINALIZER)
        kept = (*others, names.FINALIZER) if action.present else others
        if shim.deleting is not None and not kept:
            return "shims", self.drop("shims", shim.name)
        return "shims", self.put("shims", shim.name, replace(shim, finalizers=kept))

    def _status(self, action: actions.WriteShimStatus) -> tuple[str, Change]:
        shim = self._shim(action.shim, action.uid)
        return "shims", self.put("shims", shim.name, replace(shim, status=action.status))

    def _shim(self, name: str, uid: str) -> views.ShimView:
        shim: views.ShimView = self._known("shims", name)
        if shim.uid != uid:
            raise Refused("another Shim of that name")
        return shim

    def _at(self, kind: str, name: str, resource_version: str) -> Any:
        found = self._known(kind, name)
        version = found.metadata.resource_version if kind == "runtimes" else found.resource_version
        if version != resource_version:
            raise Refused("has been changed meanwhile")
        return found

    def _known(self, kind: str, name: str) -> Any:
        found = self.objects[kind].get(name)
        if found is None:
            raise Refused("not found")
        return found


def _class(wanted: actions.RuntimeClassSpec, uid: str) -> views.RuntimeClassView:
    return views.RuntimeClassView(
        name=wanted.name,
        uid=uid,
        resource_version="",
        handler=wanted.handler,
        labels={"app.kubernetes.io/managed-by": names.MANAGER},
        owners=(wanted.shim_uid,),
        node_selector=wanted.node_selector,
        tolerations=wanted.tolerations,
        overhead=wanted.overhead,
    )
