"""From an entry of `NodeRuntime.spec` to what the standalone agent's code works with. Pure.

Called by `turn`. The journal remembers the entry's digest, as it remembers a manifest's standalone.
What the API server lets through is looked at once more: we run as root, and the name of a handler
becomes a path and a key in containerd's configuration.
"""

from __future__ import annotations

import re

from rcm_agent import desired, errors, records
from rcm_api import names, shim
from rcm_api.noderuntime import ShimWanted

_HANDLER = re.compile(names.LABEL)
_NAME = re.compile(names.SUBDOMAIN)
_SHA256 = re.compile(names.SHA256)


def read(entry: ShimWanted, *, sha256: str = "") -> desired.Wanted:
    """Return what is wanted; `sha256` is that of an earlier download where the entry has none.

    Raises:
        ManifestError: no agent may do that.
    """
    _check(entry)
    artifact = shim.Artifact(
        os="linux",
        arch="",
        location=entry.artifact.url,
        sha256=(entry.artifact.sha256 or sha256).lower() or None,
        binary=entry.artifact.binary or None,
    )
    return desired.Wanted(
        name=entry.name,
        handler=entry.handler,
        digest=entry.digest,
        artifact=artifact,
        options=dict(entry.options),
    )


def again(have: records.Installed, entry: ShimWanted | None) -> desired.Wanted:
    """Return how to have the binary of an installed Shim once more.

    Its URL is the entry's where that asks for the same; the journal keeps no query of a URL.
    """
    same = entry is not None and entry.digest == have.wanted
    location = entry.artifact.url if same and entry is not None else have.location
    artifact = shim.Artifact(
        os="linux", arch="", location=location, sha256=have.artifact, binary=have.member
    )
    return desired.Wanted(
        name=have.name,
        handler=have.handler,
        digest=have.wanted,
        artifact=artifact,
        options=have.options,
    )


def _check(entry: ShimWanted) -> None:
    reserved = entry.handler in names.RESERVED_HANDLERS or entry.handler.startswith(
        names.RESERVED_PREFIXES
    )
    if reserved or not _fits(_HANDLER, entry.handler) or not _fits(_NAME, entry.name):
        raise errors.ManifestError(
            f"a Shim {entry.name!r} with the handler {entry.handler!r} is not for agents to install",
            advice="see who writes NodeRuntimes beside the controller",
        )
    if entry.artifact.sha256 and not _SHA256.fullmatch(entry.artifact.sha256):
        raise errors.ManifestError(
            f"Shim {entry.name}: {entry.artifact.sha256[:70]!r} is no sha256",
            advice="see who writes NodeRuntimes beside the controller",
        )


def _fits(pattern: re.Pattern[str], text: str) -> bool:
    return len(text) <= names.MAX_LABEL and pattern.fullmatch(text) is not None
