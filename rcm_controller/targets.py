"""What every platform of a Shim shall have: its artifact with a pinned hash, and the digest.

Called by `survey`, once per Shim and look. A manifest without sha256 takes the hash that
`status.artifacts` remembers for the same location (trust on first use). Pure.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rcm_api import noderuntime, shim, shim_status


@dataclass(frozen=True, slots=True)
class Target:
    """What nodes of one platform shall have."""

    artifact: noderuntime.Artifact
    digest: str
    handler: str
    options: dict[str, noderuntime.OptionValue]
    disruption: str
    platform: tuple[str, str]
    """As the manifest says it: the architecture is empty for a legacy artifact."""

    @property
    def pinned(self) -> bool:
        """Tell whether every node gets the same bytes."""
        return bool(self.artifact.sha256)


def resolve(
    wanted: shim.Shim, pinned: Iterable[shim_status.PinnedArtifact], *, os: str, arch: str
) -> Target | None:
    """Return what nodes of a platform shall have; None: there is nothing for them."""
    return _resolved(_Same(wanted), tuple(pinned), os, arch)


class _Same:
    """A manifest as a key: the very same record, which is held and so not another one later."""

    __slots__ = ("wanted",)

    def __init__(self, wanted: shim.Shim) -> None:
        self.wanted = wanted

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.wanted is self.wanted

    def __hash__(self) -> int:
        return id(self.wanted)


@functools.lru_cache(maxsize=512)
def _resolved(
    same: _Same, pinned: tuple[shim_status.PinnedArtifact, ...], os: str, arch: str
) -> Target | None:
    """Work it out once per manifest and pins: a look comes each second, an edit each day."""
    wanted = same.wanted
    artifact = shim.choose(wanted, os=os, arch=arch)
    if artifact is None:
        return None
    artifact = dataclasses.replace(artifact, sha256=sha256(artifact, pinned))
    return Target(
        artifact=noderuntime.Artifact(
            url=artifact.location, sha256=artifact.sha256 or "", binary=artifact.binary or ""
        ),
        digest=shim.digest(wanted, artifact),
        handler=wanted.runtime_class.handler,
        options=dict(wanted.options),
        disruption=wanted.rollout.disruption,
        platform=(artifact.os, artifact.arch),
    )


def sha256(artifact: shim.Artifact, pinned: Iterable[shim_status.PinnedArtifact]) -> str | None:
    """Return the given hash, else the one that was pinned for this location."""
    if artifact.sha256 is not None:
        return artifact.sha256
    place = (artifact.os, artifact.arch, artifact.location)
    return next((p.sha256 for p in pinned if (p.os, p.arch, p.location) == place), None)


def unpinned(wanted: shim.Shim) -> bool:
    """Tell whether the manifest leaves any hash out."""
    return any(artifact.sha256 is None for artifact in wanted.artifacts)


def platforms(wanted: shim.Shim) -> Iterator[shim.Artifact]:
    """Yield the artifact that counts for each platform: upstream lists some twice."""
    seen: set[tuple[str, str]] = set()
    for artifact in wanted.artifacts:
        if (artifact.os, artifact.arch) not in seen:
            seen.add((artifact.os, artifact.arch))
            yield artifact
