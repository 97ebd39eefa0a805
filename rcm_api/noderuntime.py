"""The `NodeRuntime`: what the controller wants of one node, and what that node's agent says.

Records of the wire, decoded from bytes with msgspec; fields that we do not know are ignored, so an
older program reads a newer object. `spec` is written by the controller only, `status` by the
agent of that node only. `rcm_api.crd` makes the schema from these records. Pure.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from rcm_api import conditions

OptionValue = bool | int | str


class Wanted(enum.StrEnum):
    """What a node shall do about one Shim."""

    PREFETCH = "Prefetch"
    """Download and check, and touch nothing: what is installed stays as it is."""
    ACTIVE = "Active"
    """Have the Shim at `digest`, proven."""
    ABSENT = "Absent"
    """Have nothing of the Shim, once no sandbox uses it."""


class Phase(enum.StrEnum):
    """Where a node is with one Shim."""

    FETCHING = "Fetching"
    FETCHED = "Fetched"
    """In the store and checked; nothing was touched."""
    WAITING = "Waiting"
    """At the restart gate: going on would end running containers, which `message` names."""
    APPLYING = "Applying"
    READY = "Ready"
    """Installed and proven at the wanted digest."""
    FAILED = "Failed"
    """Not installed; `digest` tells what still works, empty: nothing."""
    ROLLED_BACK = "RolledBack"
    """The wanted digest failed, and the node is on its former state again."""
    DRAINING = "Draining"
    """To be removed, and sandboxes still use it."""
    ABSENT = "Absent"


class Wire(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """Base of what travels: camelCase, defaults left out."""


class Artifact(Wire, frozen=True):
    """The file to fetch."""

    url: Annotated[str, Meta(description="Where the artifact is fetched from.", max_length=2048)]
    sha256: Annotated[
        str,
        Meta(description="SHA-256 of the file at url; empty only on the node that pins it."),
    ] = ""
    binary: Annotated[
        str, Meta(description="Member of the archive; empty: the obvious one.", max_length=255)
    ] = ""


class ShimWanted(Wire, frozen=True):
    """What the node shall do about one Shim. An entry that is gone wants nothing any more."""

    name: Annotated[str, Meta(description="Name of the Shim.", max_length=63)]
    handler: Annotated[str, Meta(description="The key in containerd's configuration.")]
    artifact: Artifact
    digest: Annotated[
        str, Meta(description="Changes exactly when artifact, handler or options change.")
    ]
    phase: Annotated[Wanted, Meta(description="What to do about it.")]
    options: Annotated[
        dict[str, OptionValue], Meta(description="containerd's options table of the runtime.")
    ] = {}
    disruption: Annotated[
        str, Meta(description="WaitForIdle, or Allow: running containers may be stopped.")
    ] = "WaitForIdle"
    attempt: Annotated[int, Meta(description="Raised to try a failed digest once more.", ge=0)] = 0
    asked_at: Annotated[
        datetime | None, Meta(description="When phase, digest or attempt was last changed.")
    ] = None


class Spec(Wire, frozen=True):
    """Written by the controller only."""

    node_uid: Annotated[
        str, Meta(description="UID of the Node; an agent on another node ignores the object.")
    ] = ""
    shims: Annotated[tuple[ShimWanted, ...], Meta(description="Sorted by name.")] = ()


class Facts(Wire, frozen=True):
    """What the node is."""

    os: str = ""
    arch: Annotated[str, Meta(description="amd64 or arm64.")] = ""
    distribution: Annotated[str, Meta(description="ID of os-release, or k3s, rke2, k0s, …")] = ""
    containerd: Annotated[str, Meta(description="Version of containerd.")] = ""
    schema: Annotated[int, Meta(description="Version of containerd's configuration file.")] = 0
    strategy: Annotated[str, Meta(description="How the agent edits that file.")] = ""
    machine_id: str = ""
    boot_id: str = ""
    agent: Annotated[str, Meta(description="Version of the agent.")] = ""


class ShimObserved(Wire, frozen=True):
    """Where the node is with one Shim."""

    name: Annotated[str, Meta(description="Name of the Shim.", max_length=63)]
    phase: Phase
    handler: Annotated[str, Meta(description="The handler that `digest` was proven with.")] = ""
    digest: Annotated[str, Meta(description="What is installed and proven; empty: nothing is.")] = (
        ""
    )
    observed_digest: Annotated[
        str, Meta(description="The digest of the spec that this entry answers.")
    ] = ""
    observed_attempt: Annotated[
        int, Meta(description="The attempt of the spec that this entry answers.", ge=0)
    ] = 0
    sha256: Annotated[str, Meta(description="Of the artifact that was fetched.")] = ""
    size: Annotated[int, Meta(description="Of the artifact, in bytes.", ge=0)] = 0
    version: Annotated[str, Meta(description="What the shim says of itself.", max_length=128)] = ""
    in_use: Annotated[int, Meta(description="Sandboxes that use the handler.", ge=0)] = 0
    reason: Annotated[str, Meta(description="CamelCase word for the phase.", max_length=64)] = ""
    message: Annotated[
        str, Meta(description="What failed, in the node's own words.", max_length=256)
    ] = ""
    time: Annotated[
        datetime | None, Meta(description="When the phase changed, by the node's clock.")
    ] = None


class Status(Wire, frozen=True):
    """Written by the agent of the node only."""

    observed_generation: Annotated[int, Meta(ge=0)] = 0
    facts: Facts = Facts()
    shims: Annotated[tuple[ShimObserved, ...], Meta(description="Sorted by name.")] = ()
    restarts: Annotated[int, Meta(description="Restarts of containerd by the agent.", ge=0)] = 0
    rollbacks: Annotated[int, Meta(ge=0)] = 0
    drift_repairs: Annotated[int, Meta(ge=0)] = 0
    conditions: Annotated[
        tuple[conditions.Condition, ...],
        Meta(description="Healthy, Supported, Conflict."),
    ] = ()


class Metadata(Wire, frozen=True):
    """The part of ObjectMeta that matters here."""

    name: str
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    deletion_timestamp: datetime | None = None


class NodeRuntime(Wire, frozen=True):
    """One object per node, with the node's name."""

    metadata: Metadata
    spec: Spec = Spec()
    status: Status = Status()

    @property
    def name(self) -> str:
        """Of the object and of the Node."""
        return self.metadata.name

    def wanted(self, shim: str) -> ShimWanted | None:
        """Return the spec's entry for a Shim."""
        return next((s for s in self.spec.shims if s.name == shim), None)

    def observed(self, shim: str) -> ShimObserved | None:
        """Return the status's entry for a Shim."""
        return next((s for s in self.status.shims if s.name == shim), None)


_DECODER = msgspec.json.Decoder(NodeRuntime)


def parse(data: bytes) -> NodeRuntime:
    """Decode one object.

    Raises:
        msgspec.ValidationError: the object is no NodeRuntime.
    """
    return _DECODER.decode(data)
