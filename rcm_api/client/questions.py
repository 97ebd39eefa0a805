"""What `api` can be asked, as records. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rcm_api.client import transport

MERGE: Final = "application/merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"
"""JSON is YAML; older servers (< 1.30) know no other name for server-side apply."""
METADATA: Final = f"{transport.JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""Asks for an answer that is the object's metadata only: a Node has 12 KB besides."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a kind."""

    namespace: str = ""
    labels: str = ""
    """A label selector as text, `a=b,c!=d`."""
    fields: str = ""
    """A field selector, `metadata.name=worker-1`."""

    def query(self) -> dict[str, str]:
        """Return the parts of a URL's query."""
        found = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {key: value for key, value in found.items() if value}


EVERYTHING = Selection()


@dataclass(frozen=True, slots=True)
class Patch:
    """A change of one object."""

    body: object
    """What `msgspec` can encode. With `metadata.resourceVersion` in it, the server refuses unless
    the object is in that state (`Conflict`). With `metadata.uid`, it refuses unless the object is
    that one (`Invalid`: the field is immutable), but for the status of a custom resource, of whose
    metadata it looks at the resourceVersion only."""
    kind: str = MERGE
    force: bool = False
    """Server-side apply only: take fields over from other managers."""
    subresource: str = ""
    """`status`, or empty."""


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """How long a watch may last, and be silent."""

    duration_s: float = 75.0
    """Asked of the server, whose orderly end is the proof that the watch lived. Bookmarks are none:
    the server sends them about each minute, but only newer ones than the watch began with
    (kubernetes 1.36, storage/cacher/cache_watcher.go, process), so a kind to which nothing happens
    may be silent for ever. A request per kind in 75 s is cheaper than a list for a false alarm."""
    silence_s: float = 95.0
    """More than `duration_s`, and little enough to look again within R10's 120 s."""
