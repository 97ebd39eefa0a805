"""The Container Runtime Interface, as far as the agent speaks it.

Called by `containerd`. Works on containerd 1.6 and later, whose CRI has had version v1 since.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from rcm_agent import errors, ports
from rcm_agent.host.channel import Channel
from rcm_agent.host.proto import cri_pb2 as pb

RUNTIME = "runtime.v1.RuntimeService/"
IMAGE = "runtime.v1.ImageService/"

Json = Mapping[str, Any]


def status(channel: Channel, *, timeout_s: float) -> ports.CriStatus:
    """Ask Version and Status (verbose)."""
    deadline = time.monotonic() + timeout_s
    version = channel.call(
        RUNTIME + "Version",
        pb.VersionRequest(version="v1"),
        pb.VersionResponse.FromString,
        timeout_s=timeout_s,
    )
    answer = full_status(channel, timeout_s=deadline - time.monotonic())
    config = config_of(answer)
    conditions = {condition.type: condition.status for condition in answer.status.conditions}
    return ports.CriStatus(
        runtime_version=version.runtime_version,
        runtime_ready=conditions.get("RuntimeReady", False),
        network_ready=conditions.get("NetworkReady", False),
        handlers=_handlers(answer, config),
        # 1.x only: in 2.x the image moved to another plugin, which no CRI call shows.
        sandbox_image=str(config.get("sandboxImage", "")),
    )


def sandboxes(channel: Channel, *, timeout_s: float) -> tuple[ports.Sandbox, ...]:
    """Every sandbox that CRI knows, ready or not."""
    return tuple(
        ports.Sandbox(
            id=item.id,
            name=pod_name(item.metadata),
            handler=item.runtime_handler,
            ready=item.state == pb.SANDBOX_READY,
        )
        for item in items(channel, timeout_s=timeout_s)
    )


def names(channel: Channel, *, timeout_s: float) -> dict[str, tuple[str, str]]:
    """Return by id, for containers and sandboxes: a name for people, and the sandbox's id."""
    pods = {item.id: pod_name(item.metadata) for item in items(channel, timeout_s=timeout_s)}
    answer = channel.call(
        RUNTIME + "ListContainers",
        pb.ListContainersRequest(),
        pb.ListContainersResponse.FromString,
        timeout_s=timeout_s,
    )
    found = {sandbox: (name, sandbox) for sandbox, name in pods.items()}
    for item in answer.containers:
        pod = pods.get(item.pod_sandbox_id, item.pod_sandbox_id)
        found[item.id] = (f"{pod}/{item.metadata.name}", item.pod_sandbox_id)
    return found


def ensure_image(channel: Channel, reference: str, *, timeout_s: float) -> str | None:
    """Make sure that an image is there; the reason when it cannot be.

    Raises:
        CriError: CRI does not say whether it is there.
    """
    deadline = time.monotonic() + timeout_s
    image = pb.ImageSpec(image=reference)
    found = channel.call(
        IMAGE + "ImageStatus",
        pb.ImageStatusRequest(image=image),
        pb.ImageStatusResponse.FromString,
        timeout_s=timeout_s,
    )
    if found.image.id:
        return None
    try:
        channel.call(
            IMAGE + "PullImage",
            pb.PullImageRequest(image=image),
            pb.PullImageResponse.FromString,
            timeout_s=deadline - time.monotonic(),
        )
    except errors.CriError as error:
        return f"{reference} is not on the host and cannot be pulled: {error.cause}"
    return None


def stop_sandbox(channel: Channel, sandbox: str, *, timeout_s: float) -> None:
    """Stop a sandbox and its containers; one that is gone is fine."""
    channel.call(
        RUNTIME + "StopPodSandbox",
        pb.StopPodSandboxRequest(pod_sandbox_id=sandbox),
        pb.StopPodSandboxResponse.FromString,
        timeout_s=timeout_s,
    )


def remove_sandbox(channel: Channel, sandbox: str, *, timeout_s: float) -> None:
    """Stop and remove a sandbox; one that is gone is fine."""
    deadline = time.monotonic() + timeout_s
    try:
        stop_sandbox(channel, sandbox, timeout_s=timeout_s)
        channel.call(
            RUNTIME + "RemovePodSandbox",
            pb.RemovePodSandboxRequest(pod_sandbox_id=sandbox),
            pb.RemovePodSandboxResponse.FromString,
            timeout_s=deadline - time.monotonic(),
        )
    except errors.CriError as error:
        if error.code != "NOT_FOUND":
            raise


def stop_containers(
    channel: Channel, containers: Sequence[str], *, grace_s: int, timeout_s: float
) -> None:
    """Ask containers to end, side by side, and kill them after `grace_s`; gone ones are fine."""
    for result in channel.gather(
        RUNTIME + "StopContainer",
        [pb.StopContainerRequest(container_id=id_, timeout=grace_s) for id_ in containers],
        pb.StopContainerResponse.FromString,
        timeout_s=timeout_s,
    ):
        try:
            result()
        except errors.CriError as error:
            if error.code != "NOT_FOUND":
                raise


def pod_name(metadata: pb.PodSandboxMetadata) -> str:
    """Return `namespace/pod`."""
    return f"{metadata.namespace}/{metadata.name}"


def full_status(channel: Channel, *, timeout_s: float) -> pb.StatusResponse:
    """Ask Status, with the configuration in it."""
    return channel.call(
        RUNTIME + "Status",
        pb.StatusRequest(verbose=True),
        pb.StatusResponse.FromString,
        timeout_s=timeout_s,
    )


def items(channel: Channel, *, timeout_s: float) -> list[pb.PodSandbox]:
    """Return CRI's own records of all sandboxes."""
    answer = channel.call(
        RUNTIME + "ListPodSandbox",
        pb.ListPodSandboxRequest(),
        pb.ListPodSandboxResponse.FromString,
        timeout_s=timeout_s,
    )
    return list(answer.items)


def config_of(answer: pb.StatusResponse) -> Json:
    """Return the effective CRI configuration that a verbose Status carries."""
    try:
        config: Any = json.loads(answer.info.get("config", "{}"))
    except ValueError:
        return {}
    return table(config)


def table(value: Any) -> Json:
    """Return a JSON object, or an empty one for anything else (Go writes an empty map as null)."""
    return cast("Json", value) if isinstance(value, dict) else {}


def runtimes(config: Json) -> Json:
    """Return the tables of the runtimes by name."""
    return table(table(config.get("containerd")).get("runtimes"))


def _handlers(answer: pb.StatusResponse, config: Json) -> frozenset[str]:
    """Runtimes by name: Status lists them from 2.0 on, before that only its configuration does."""
    listed = {handler.name for handler in answer.runtime_handlers} or set(runtimes(config))
    return frozenset(listed - {""})
