"""containerd's own task service: which tasks run, and which of them a restart would end.

Called by `containerd`. It knows every namespace, and answers when the CRI plugin is dead.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from rcm_agent import errors
from rcm_agent.host.channel import Channel
from rcm_agent.host.proto import namespaces_pb2, task_pb2, tasks_pb2, version_pb2

SERVICE = "containerd.services.tasks.v1.Tasks/"

PIDS_S = 5.0
"""A shim that has not answered by then is cleaned away at a restart, too: containerd's own limit
for loading a shim (`io.containerd.timeout.shim.load`)."""

_ALIVE = (task_pb2.CREATED, task_pb2.RUNNING, task_pb2.PAUSED, task_pb2.PAUSING)

_SEVENTEEN = (1, 7)
"""From this version on, containerd asks `Pids` of each shim when it starts."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task that runs (created and paused ones have a process, too)."""

    namespace: str
    id: str
    pid: int
    survives_restart: bool


def running(channel: Channel, *, timeout_s: float) -> list[Task]:
    """Every running task of every namespace, sorted."""
    deadline = time.monotonic() + timeout_s
    asked = _asks_pids(channel, timeout_s=timeout_s)
    found = [
        task
        for namespace in _namespaces(channel, timeout_s=deadline - time.monotonic())
        for task in _of_namespace(channel, namespace, asked=asked, deadline=deadline)
    ]
    return sorted(found, key=lambda task: (task.namespace, task.id))


def end(channel: Channel, namespace: str, task: str, *, timeout_s: float) -> None:
    """End a task outside CRI: SIGTERM, after half of the time SIGKILL, then delete it.

    Raises:
        CriError: it still runs.
    """
    deadline = time.monotonic() + timeout_s
    kill(channel, namespace, task, int(signal.SIGTERM), timeout_s=timeout_s)
    if not wait_gone(channel, namespace, task, timeout_s=timeout_s / 2):
        kill(channel, namespace, task, int(signal.SIGKILL), timeout_s=deadline - time.monotonic())
        require_gone(channel, namespace, task, timeout_s=deadline - time.monotonic())
    delete(channel, namespace, task, timeout_s=max(deadline - time.monotonic(), DELETE_S))


DELETE_S = 5.0
"""At least, for removing a task that has ended. A guess."""


def kill(channel: Channel, namespace: str, task: str, number: int, *, timeout_s: float) -> None:
    """Send a signal to a task's process; one that has ended is fine."""
    request = tasks_pb2.KillRequest(
        container_id=task, signal=number, all=number == int(signal.SIGKILL)
    )
    _unless_gone(
        lambda: channel.call(
            SERVICE + "Kill",
            request,
            tasks_pb2.KillResponse.FromString,
            timeout_s=timeout_s,
            namespace=namespace,
        )
    )


def delete(channel: Channel, namespace: str, task: str, *, timeout_s: float) -> None:
    """Remove a task that has ended; one that is gone is fine."""
    _unless_gone(
        lambda: channel.call(
            SERVICE + "Delete",
            tasks_pb2.DeleteTaskRequest(container_id=task),
            tasks_pb2.DeleteResponse.FromString,
            timeout_s=timeout_s,
            namespace=namespace,
        )
    )


def wait_gone(channel: Channel, namespace: str, task: str, *, timeout_s: float) -> bool:
    """Wait until a task has ended; False when it has not in time."""
    if not alive(channel, namespace, task, timeout_s=timeout_s):
        return True
    try:
        _unless_gone(
            lambda: channel.call(
                SERVICE + "Wait",
                tasks_pb2.WaitRequest(container_id=task),
                tasks_pb2.WaitResponse.FromString,
                timeout_s=timeout_s,
                namespace=namespace,
            )
        )
    except errors.CriError as error:
        if error.code != "DEADLINE_EXCEEDED":
            raise
        return False
    return True


def require_gone(channel: Channel, namespace: str, task: str, *, timeout_s: float) -> None:
    """Wait until a task has ended.

    Raises:
        CriError: it has not in time.
    """
    if not wait_gone(channel, namespace, task, timeout_s=timeout_s):
        raise errors.CriError(
            f"task {task} of namespace {namespace} still runs after it was told to end",
            code="DEADLINE_EXCEEDED",
            advice=f"end it by hand: ctr -n {namespace} task kill -s SIGKILL {task}",
        )


def alive(channel: Channel, namespace: str, task: str, *, timeout_s: float) -> bool:
    """Tell whether a task has a process."""
    try:
        answer = channel.call(
            SERVICE + "Get",
            tasks_pb2.GetRequest(container_id=task),
            tasks_pb2.GetResponse.FromString,
            timeout_s=timeout_s,
            namespace=namespace,
        )
    except errors.CriError as error:
        if error.code != "NOT_FOUND":
            raise
        return False
    return answer.process.status in _ALIVE


def _asks_pids(channel: Channel, *, timeout_s: float) -> bool:
    """Tell whether this containerd would ask `Pids`; one whose version cannot be read does."""
    answer = channel.call(
        "containerd.services.version.v1.Version/Version",
        version_pb2.VersionRequest(),
        version_pb2.VersionResponse.FromString,
        timeout_s=timeout_s,
    )
    found = re.match(r"v?(\d+)\.(\d+)", answer.version)
    return found is None or (int(found[1]), int(found[2])) >= _SEVENTEEN


def _namespaces(channel: Channel, *, timeout_s: float) -> list[str]:
    answer = channel.call(
        "containerd.services.namespaces.v1.Namespaces/List",
        namespaces_pb2.ListNamespacesRequest(),
        namespaces_pb2.ListNamespacesResponse.FromString,
        timeout_s=timeout_s,
    )
    return [namespace.name for namespace in answer.namespaces]


def _of_namespace(channel: Channel, namespace: str, *, asked: bool, deadline: float) -> list[Task]:
    answer = channel.call(
        SERVICE + "List",
        tasks_pb2.ListTasksRequest(),
        tasks_pb2.ListTasksResponse.FromString,
        timeout_s=deadline - time.monotonic(),
        namespace=namespace,
    )
    living = [process for process in answer.tasks if process.status in _ALIVE]
    if not asked:
        return [
            Task(namespace, _id(process), process.pid, survives_restart=True) for process in living
        ]
    pids = channel.gather(
        SERVICE + "ListPids",
        [tasks_pb2.ListPidsRequest(container_id=_id(process)) for process in living],
        tasks_pb2.ListPidsResponse.FromString,
        timeout_s=min(PIDS_S, deadline - time.monotonic()),
        namespace=namespace,
    )
    found: list[Task] = []
    for process, result in zip(living, pids, strict=True):
        survives = _lists_pids(result)
        # No answer may also mean that it has just ended: then it is nobody's concern.
        if survives or alive(
            channel, namespace, _id(process), timeout_s=deadline - time.monotonic()
        ):
            found.append(Task(namespace, _id(process), process.pid, survives_restart=survives))
    return found


def _id(process: task_pb2.Process) -> str:
    """Return the container's id; List and Get fill `id` with it, and `container_id` on some."""
    return process.container_id or process.id


def _lists_pids(result: Callable[[], tasks_pb2.ListPidsResponse]) -> bool:
    """Tell whether a shim's answer would let containerd keep the task when it restarts.

    runwasi's shims answer `/containerd.task.v2.Task/Pids is not supported`.

    Raises:
        CriError: containerd itself is gone.
    """
    try:
        return bool(result().processes)
    except errors.CriError as error:
        if error.code in {"UNAVAILABLE", "CANCELLED"}:
            raise
        return False


def _unless_gone(call: Callable[[], object]) -> None:
    try:
        call()
    except errors.CriError as error:
        if error.code != "NOT_FOUND":
            raise
