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

from rcm_api import conditions, names
from rcm_api.conditions import Time

OptionValue = bool | int | str
Digest = Annotated[str, Meta(max_length=64)]
Handler = Annotated[str, Meta(max_length=names.MAX_LABEL)]
Name = Annotated[str, Meta(description="Name of the Shim.", max_length=names.MAX_LABEL)]
Word = Annotated[str, Meta(max_length=128)]
"""Limits keep the object small; an agent cuts what it reports."""

MAX_SUMMARY = 256
"""A column of `kubectl get nr`; a guess."""

_BY_NAME: dict[str, object] = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
}


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
        Digest,
        Meta(description="SHA-256 of the file at url; empty only on the node that pins it."),
    ] = ""
    binary: Annotated[
        str, Meta(description="Member of the archive; empty: the obvious one.", max_length=255)
    ] = ""


class ShimWanted(Wire, frozen=True):
    """What the node shall do about one Shim. An entry that is gone wants nothing any more."""

    name: Name
    handler: Annotated[Handler, Meta(description="The key in containerd's configuration.")]
    artifact: Artifact
    digest: Annotated[
        Digest, Meta(description="Changes exactly when artifact, handler or options change.")
    ]
    phase: Annotated[Wanted, Meta(description="What to do about it.")]
    options: Annotated[
        dict[str, OptionValue],
        Meta(description="containerd's options table of the runtime.", max_length=32),
    ] = {}
    disruption: Annotated[
        Word, Meta(description="WaitForIdle, or Allow: running containers may be stopped.")
    ] = "WaitForIdle"
    attempt: Annotated[int, Meta(description="Raised to try a failed digest once more.", ge=0)] = 0
    asked_at: Annotated[
        Time | None, Meta(description="When phase, digest or attempt was last changed.")
    ] = None


class Spec(Wire, frozen=True):
    """Written by the controller only."""

    node_uid: Annotated[
        Word, Meta(description="UID of the Node; an agent on another node ignores the object.")
    ] = ""
    shims: Annotated[
        tuple[ShimWanted, ...], Meta(description="Sorted by name.", extra_json_schema=_BY_NAME)
    ] = ()


class Facts(Wire, frozen=True):
    """What the node is."""

    os: Annotated[Word, Meta(description="linux.")] = ""
    arch: Annotated[Word, Meta(description="amd64 or arm64.")] = ""
    distribution: Annotated[Word, Meta(description="ID of os-release, or k3s, rke2, k0s, …")] = ""
    containerd: Annotated[Word, Meta(description="Version of containerd.")] = ""
    schema: Annotated[int, Meta(description="Version of containerd's configuration file.")] = 0
    strategy: Annotated[Word, Meta(description="How the agent edits that file.")] = ""
    machine_id: Annotated[Word, Meta(description="/etc/machine-id.")] = ""
    boot_id: Annotated[Word, Meta(description="Another one after every boot.")] = ""
    agent: Annotated[Word, Meta(description="Version of the agent.")] = ""


class ShimObserved(Wire, frozen=True):
    """Where the node is with one Shim."""

    name: Name
    phase: Phase
    handler: Annotated[Handler, Meta(description="The handler that `digest` was proven with.")] = ""
    digest: Annotated[
        Digest, Meta(description="What is installed and proven; empty: nothing is.")
    ] = ""
    observed_digest: Annotated[
        Digest, Meta(description="The digest of the spec that this entry answers.")
    ] = ""
    observed_attempt: Annotated[
        int, Meta(description="The attempt of the spec that this entry answers.", ge=0)
    ] = 0
    sha256: Annotated[Digest, Meta(description="Of the artifact that was fetched.")] = ""
    size: Annotated[int, Meta(description="Of the artifact, in bytes.", ge=0)] = 0
    version: Annotated[Word, Meta(description="What the shim says of itself.")] = ""
    in_use: Annotated[int, Meta(description="Sandboxes that use the handler.", ge=0)] = 0
    reason: Annotated[str, Meta(description="CamelCase word for the phase.", max_length=64)] = ""
    message: Annotated[
        str, Meta(description="What failed, in the node's own words.", max_length=256)
    ] = ""
    time: Annotated[
        Time | None, Meta(description="When the phase changed, by the node's clock.")
    ] = None


class Status(Wire, frozen=True):
    """Written by the agent of the node only."""

    observed_generation: Annotated[
        int, Meta(description="metadata.generation that this status answers.", ge=0)
    ] = 0
    state: Annotated[
        Word, Meta(description="The phase to look at first; Unsupported, Conflict, or Idle.")
    ] = ""
    reason: Annotated[Word, Meta(description="CamelCase word for the state.")] = ""
    summary: Annotated[
        str, Meta(description="Every Shim with its phase: spin-v2=Ready.", max_length=MAX_SUMMARY)
    ] = ""
    facts: Facts = Facts()
    shims: Annotated[
        tuple[ShimObserved, ...], Meta(description="Sorted by name.", extra_json_schema=_BY_NAME)
    ] = ()
    restarts: Annotated[int, Meta(description="Restarts of containerd by the agent.", ge=0)] = 0
    rollbacks: Annotated[int, Meta(description="Edits of containerd's taken back.", ge=0)] = 0
    drift_repairs: Annotated[
        int, Meta(description="Times that somebody else's change was mended.", ge=0)
    ] = 0
    conditions: Annotated[
        conditions.Conditions, Meta(description="Healthy, Supported, Conflict.")
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
        for entry in self.spec.shims:
            if entry.name == shim:
                return entry
        return None

    def observed(self, shim: str) -> ShimObserved | None:
        """Return the status's entry for a Shim."""
        for seen in self.status.shims:
            if seen.name == shim:
                return seen
        return None


_WORST_FIRST = (
    Phase.FAILED,
    Phase.ROLLED_BACK,
    Phase.WAITING,
    Phase.DRAINING,
    Phase.APPLYING,
    Phase.FETCHING,
    Phase.FETCHED,
    Phase.READY,
    Phase.ABSENT,
)


def summarized(status: Status) -> Status:
    """Return the status as agents write it: small, and with three fields for people.

    Columns can compute nothing; and the object stays under 4 KB while it holds up to three Shims.
    """
    state, reason = _headline(status)
    summary = ",".join(f"{shim.name}={shim.phase}" for shim in status.shims)
    summary = _cut(summary, MAX_SUMMARY)
    return msgspec.structs.replace(_fitted(status), state=state, reason=reason, summary=summary)


SHIM_BYTES = 850
"""An entry of spec and status without its message, with a URL of 110 characters; measured."""
ROOM_BYTES = 2900
"""Of 4 KB, what entries and messages may take: facts, conditions and metadata have the rest."""
LEAST_BYTES = 48
"""Bytes that a message has at least: with four Shims and more the object is larger than 4 KB."""


def _fitted(status: Status) -> Status:
    """Cut messages to what the number of Shims leaves: a share for each that says something."""
    texts = [*(s.message for s in status.shims), *(c.message for c in status.conditions)]
    count = sum(map(bool, texts))
    if not count:
        return status
    limit = max(LEAST_BYTES, (ROOM_BYTES - SHIM_BYTES * len(status.shims)) // count)
    if all(len(text.encode()) <= limit for text in texts):
        return status
    shims, told = status.shims, status.conditions
    return msgspec.structs.replace(
        status,
        shims=tuple(msgspec.structs.replace(s, message=_cut(s.message, limit)) for s in shims),
        conditions=tuple(msgspec.structs.replace(c, message=_cut(c.message, limit)) for c in told),
    )


def _cut(text: str, limit: int) -> str:
    """Cut to a number of bytes, and show it."""
    if len(text.encode()) <= limit:
        return text
    kept = text.encode()[: limit - len("…".encode())]
    return kept.decode(errors="ignore") + "…"


def _headline(status: Status) -> tuple[str, str]:
    for kind, wrong, word in _OVER_ALL:
        found = conditions.find(status.conditions, kind)
        if found is not None and found.status == wrong:
            return word, found.reason
    worst = min(status.shims, key=lambda s: _WORST_FIRST.index(s.phase), default=None)
    return ("Idle", "") if worst is None else (worst.phase.value, worst.reason)


_OVER_ALL = (
    ("Supported", conditions.FALSE, "Unsupported"),
    ("Conflict", conditions.TRUE, "Conflict"),
)
"""Conditions that matter more than any phase: type, status, and the state then."""

_DECODER = msgspec.json.Decoder(NodeRuntime)


def parse(data: bytes) -> NodeRuntime:
    """Decode one object.

    Raises:
        msgspec.ValidationError: the object is no NodeRuntime.
    """
    return _DECODER.decode(data)
