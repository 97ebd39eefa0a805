"""Carries out one action: the only code of the controller that changes the cluster.

Called by the writers (`run`) and by the simulation, for tasks that `pending` hands out. What the
server answers goes back into the caches, so that the next plan knows it before the watch tells.
Nothing is tried again here: an action that failed is decided anew, from the world as it is then.
One whose end is not known leaves a doubt, which is settled before that.

Fencing: a task is sent only while the term lasts in which it was decided, asked right before.
A write that was sent and hangs beyond the term meets its resourceVersion or uid precondition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import structlog

from rcm_api.client import api, errors, resources
from rcm_controller import (
    actions,
    bodies,
    clock,
    decode,
    doubts,
    leader,
    metrics,
    recorder,
    refusals,
    store,
    views,
)
from rcm_controller.pending import Outcome, Task, key

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Done:
    """How a task ended."""

    outcome: Outcome
    wish_s: float | None = None
    """Retry-After."""


class Applier:
    """Writes for one controller."""

    def __init__(
        self,
        client: api.Client,
        caches: store.Store,
        *,
        leadership: leader.Leadership,
        time: clock.Clock,
        told: metrics.Metrics,
    ) -> None:
        """Write through `client` and feed `caches`."""
        self._client = client
        self._caches = caches
        self._leadership = leadership
        self._time = time
        self._told = told
        self._complaints: set[str] = set()
        self.events = recorder.Recorder(client, time=time)
        self.refused = refusals.Refusals()
        self.doubts = doubts.Doubts(client, caches)

    def apply(self, task: Task) -> Done:
        """Carry out a task and say how it ended; never raises what a server may cause."""
        if self._leadership.term() != task.term:
            return Done(Outcome.SKIPPED)
        began = self._time.monotonic()
        done = self._try(task)
        self._told.observe(metrics.WRITE_SECONDS, self._time.monotonic() - began)
        self._told.count(metrics.WRITES, type(task.action).__name__, done.outcome)
        return done

    def _try(self, task: Task) -> Done:
        try:
            same = self._write(task)
        except errors.ApiError as error:
            return self._failed(task, error)
        self.refused.forget(key(task.action))
        return Done(Outcome.SAME if same else Outcome.OK)

    def _write(self, task: Task) -> bool:  # noqa: C901 - one line per action
        """Send it; whether the server found nothing to change."""
        match task.action:
            case actions.LabelNode():
                return self._label(task.action, task.version)
            case actions.CreateNodeRuntime():
                return self._create_runtime(task.action)
            case actions.UpdateNodeRuntime():
                return self._update_runtime(task.action)
            case actions.DeleteNodeRuntime():
                return self._delete_runtime(task.action)
            case actions.CreateRuntimeClass():
                return self._create_class(task.action)
            case actions.UpdateRuntimeClass():
                return self._update_class(task.action)
            case actions.DeleteRuntimeClass():
                return self._delete_class(task.action)
            case actions.SetFinalizer():
                return self._finalizer(task.action, task.version)
            case actions.WriteShimStatus():
                return self._status(task.action, task.version)
            case actions.EmitEvent():
                self.events.tell(task.action)
                return False
            case _:
                assert_never(task.action)

    def _label(self, action: actions.LabelNode, version: str) -> bool:
        nodes = self._caches.nodes
        seen = self._client.patch(
            resources.NODES,
            action.node,
            api.Patch(bodies.labels(action, version=version)),
            decode=lambda data: nodes.read_with(decode.node_metadata, data),
            accept=api.METADATA,
        )
        nodes.feed(seen)
        return False

    def _create_runtime(self, action: actions.CreateNodeRuntime) -> bool:
        runtimes = self._caches.runtimes
        body = bodies.new_runtime(action)
        runtimes.feed(self._client.create(resources.NODERUNTIMES, body, decode=runtimes.read))
        return False

    def _update_runtime(self, action: actions.UpdateNodeRuntime) -> bool:
        if action.unlabelled:
            self._require_unlabelled(action)
        runtimes = self._caches.runtimes
        patch = api.Patch(bodies.runtime_spec(action))
        seen = self._client.patch(resources.NODERUNTIMES, action.node, patch, decode=runtimes.read)
        runtimes.feed(seen)
        return seen.resource_version == action.resource_version

    def _delete_runtime(self, action: actions.DeleteNodeRuntime) -> bool:
        if action.gone:
            self._require_gone(action)
        self._client.delete(
            resources.NODERUNTIMES,
            action.node,
            uid=action.uid,
            resource_version=action.resource_version,
        )
        self._caches.runtimes.forget(action.node)
        return False

    def _require_gone(self, action: actions.DeleteNodeRuntime) -> None:
        """Refuse a deletion, as a Conflict, while the Node is there."""
        found = self._node_now(action.node)
        if found is not None and found.uid == action.gone:
            raise changed(f"Node {action.node}")

    def _require_unlabelled(self, action: actions.UpdateNodeRuntime) -> None:
        """Refuse a removal, as a Conflict, while pods may still be sent to the Node."""
        found = self._node_now(action.node)
        if found is not None and not found.marks.keys().isdisjoint(action.unlabelled):
            raise changed(f"Node {action.node}")

    def _node_now(self, name: str) -> views.NodeView | None:
        """Ask for the Node itself; what is found goes into the cache.

        Raises:
            Conflict: it is there, and cannot be read.
        """
        self.doubts.read("Node", name)
        if name in self._caches.nodes.unread():
            raise changed(f"Node {name}")
        return self._caches.nodes.views().get(name)

    def _create_class(self, action: actions.CreateRuntimeClass) -> bool:
        classes = self._caches.classes
        body = bodies.new_class(action.wanted)
        classes.feed(self._client.create(resources.RUNTIMECLASSES, body, decode=classes.read))
        return False

    def _update_class(self, action: actions.UpdateRuntimeClass) -> bool:
        """Read and replace: a merge patch could not take foreign keys out of the node selector."""
        classes, name = self._caches.classes, action.wanted.name
        found = self._client.get(resources.RUNTIMECLASSES, name, decode=api.document)
        if found["metadata"].get("resourceVersion") != action.resource_version:
            raise changed(f"RuntimeClass {name}")
        body = bodies.changed_class(found, action.wanted)
        seen = self._client.replace(resources.RUNTIMECLASSES, name, body, decode=classes.read)
        classes.feed(seen)
        return seen.resource_version == action.resource_version

    def _delete_class(self, action: actions.DeleteRuntimeClass) -> bool:
        self._client.delete(
            resources.RUNTIMECLASSES,
            action.name,
            uid=action.uid,
            resource_version=action.resource_version,
        )
        self._caches.classes.forget(action.name)
        return False

    def _finalizer(self, action: actions.SetFinalizer, version: str) -> bool:
        patch = api.Patch(bodies.finalizers(action, version=version))
        return self._patch_shim(action.shim, patch, version)

    def _status(self, action: actions.WriteShimStatus, version: str) -> bool:
        body = bodies.status(action.uid, action.status, version=version)
        return self._patch_shim(action.shim, api.Patch(body, subresource="status"), version)

    def _patch_shim(self, name: str, patch: api.Patch, version: str) -> bool:
        shims = self._caches.shims
        seen = self._client.patch(resources.SHIMS, name, patch, decode=shims.read)
        if seen.view is not None and seen.view.deleting and not seen.view.finalizers:
            shims.forget(name)  # its last finalizer went, and so did it
            return False
        shims.feed(seen)
        return seen.resource_version == version

    def _failed(self, task: Task, error: errors.ApiError) -> Done:
        match error:
            case errors.Conflict() | errors.AlreadyExists() | errors.Gone():
                return Done(Outcome.CONFLICT)
            case errors.NotFound():
                self._forget(task)
                return Done(Outcome.GONE)
            case errors.TooManyRequests():
                return Done(Outcome.THROTTLED, error.retry_after_s)
            case errors.Invalid() | errors.Forbidden():
                return self._refuse(task, error)
            case errors.ServerError():
                self.doubts.note(key(task.action))  # a 504 says nothing of what was done
                self._complain(task, error)
                return Done(Outcome.FAILED, error.retry_after_s)
            case errors.Refused():
                self._complain(task, error)
                return Done(Outcome.FAILED, error.retry_after_s)
            case _:
                self.doubts.note(key(task.action))
                self._complain(task, error)
                return Done(Outcome.UNREACHABLE)

    def _refuse(self, task: Task, error: errors.Refused) -> Done:
        """Another object of that name is refused as Invalid too: uid is immutable."""
        if isinstance(error, errors.Invalid) and "metadata.uid" in str(error):
            return Done(Outcome.CONFLICT)
        self.refused.note(task.action, str(error))
        self._complain(task, error)
        return Done(Outcome.REFUSED)

    def _forget(self, task: Task) -> None:
        """Take out of the caches what we wrote and is not there; the watch may be late.

        Never a Shim: while one is thought to be gone, nodes are cleaned. Only the watch says so.
        """
        kind, name = key(task.action)
        for cache in (self._caches.runtimes, self._caches.classes):
            if cache.kind == kind:
                cache.forget(name)

    def _complain(self, task: Task, error: errors.ApiError) -> None:
        """Log the first of a sort; metrics and conditions tell how many and how long."""
        sort = f"{type(task.action).__name__} {type(error).__name__}"
        if sort not in self._complaints:
            self._complaints.add(sort)
            _log.warning(
                "write failed",
                action=type(task.action).__name__,
                object="/".join(key(task.action)[:2]),
                problem=str(error),
            )


def changed(what: str) -> errors.Conflict:
    """Return what the server would have said, had we asked it."""
    return errors.Conflict(f"{what} has changed", status=409, reason="Conflict")
