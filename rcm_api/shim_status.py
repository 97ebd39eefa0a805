"""The status of a `Shim`: what the controller tells people, and what a new leader starts from.

Records of the wire, as in `noderuntime`. Pure.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from rcm_api import conditions
from rcm_api.conditions import Time
from rcm_api.noderuntime import Digest, Word


class _Wire(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Base of what travels. Counts are written even when they are 0: columns show them."""


class PinnedArtifact(_Wire, frozen=True, omit_defaults=True):
    """One file that every node must match."""

    os: Annotated[Word, Meta(description="linux.")]
    arch: Annotated[Word, Meta(description="amd64, arm64, or empty: every platform (legacy).")]
    location: Annotated[
        str, Meta(description="Where it was; another location is pinned anew.", max_length=2048)
    ]
    sha256: Annotated[
        Digest, Meta(description="Given in the manifest, or found by the first canary.")
    ]
    size: Annotated[int, Meta(description="Bytes; 0: not fetched yet.", ge=0)] = 0
    trusted_on_first_use: Annotated[bool, Meta(description="The manifest gave no sha256.")] = False


class Canary(_Wire, frozen=True):
    """A node class whose canaries are proven at a digest; the soak counts from here."""

    node_class: Annotated[
        Word, Meta(description="os/arch/distribution/containerd minor, as linux/amd64/debian/1.7.")
    ]
    digest: Annotated[Digest, Meta(description="The wanted digest of these nodes.")]
    ready_at: Annotated[Time, Meta(description="When the last of them was ready.")]


class ShimStatus(_Wire, frozen=True):
    """Written by the controller only. All counts are of selected nodes."""

    observed_generation: Annotated[
        int, Meta(description="metadata.generation that this status answers.", ge=0)
    ] = 0
    nodes: Annotated[int, Meta(description="Nodes that nodeSelector chooses.", ge=0)] = 0
    nodes_ready: Annotated[int, Meta(description="Proven at the wanted digest.", ge=0)] = 0
    nodes_updating: Annotated[int, Meta(description="Asked to change, no answer yet.", ge=0)] = 0
    nodes_waiting: Annotated[
        int, Meta(description="At the restart gate: containers run that would end.", ge=0)
    ] = 0
    nodes_failed: Annotated[
        int, Meta(description="Tried, failed, and on their former state.", ge=0)
    ] = 0
    nodes_unsupported: Annotated[
        int, Meta(description="Cannot be served; their NodeRuntime says why.", ge=0)
    ] = 0
    nodes_outdated: Annotated[int, Meta(description="Not asked to change yet.", ge=0)] = 0
    nodes_draining: Annotated[
        int, Meta(description="To be cleaned, and sandboxes still use the shim.", ge=0)
    ] = 0
    artifacts: Annotated[tuple[PinnedArtifact, ...], Meta(description="What is pinned.")] = ()
    canaries: Annotated[
        tuple[Canary, ...], Meta(description="Node classes whose canaries are proven.")
    ] = ()
    conditions: Annotated[
        conditions.Conditions,
        Meta(
            description="Ready, Progressing, Degraded, Pinned, Conflict; "
            "Reconciling and Stalled for kstatus.",
        ),
    ] = ()
