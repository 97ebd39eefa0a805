"""What is left of us in a cluster, in words for the person who takes us away. Pure.

Called by `wait_clean`. Shims come first: while one is there, nodes are meant to have it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from rcm_api import noderuntime
from rcm_api.noderuntime import Phase, ShimObserved

NAMED = 5
"""Names in one sentence; the rest is counted."""


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    deletion_timestamp: str = ""


class Shim(msgspec.Struct, frozen=True):
    """As little of a Shim as matters here, so that an invalid one counts, too."""

    metadata: _Metadata


parse = msgspec.json.Decoder(Shim).decode


def shims_left(shims: Iterable[Shim]) -> str:
    """Say which Shims are still there, and what to do about them; empty: none is."""
    kept = [shim.metadata.name for shim in shims if not shim.metadata.deletion_timestamp]
    if kept:
        return f"{_named(kept, 'Shim')}: delete with `kubectl delete shims --all`"
    going = [shim.metadata.name for shim in shims]
    return f"{_named(going, 'Shim')}, being removed from nodes" if going else ""


def nodes_left(runtimes: Iterable[noderuntime.NodeRuntime]) -> str:
    """Say which nodes still have something of ours; empty: none has."""
    found = [
        f"{runtime.name} has {_what(seen)}" for runtime in runtimes for seen in _there(runtime)
    ]
    return _named(found, "entry") if found else ""


def _there(runtime: noderuntime.NodeRuntime) -> list[ShimObserved]:
    return [s for s in runtime.status.shims if s.digest or s.phase is not Phase.ABSENT]


def _what(seen: ShimObserved) -> str:
    used = f", used by {seen.in_use} sandboxes" if seen.in_use else ""
    reason = f" {seen.reason}" if seen.reason else ""
    return f"{seen.name} ({seen.phase}{reason}{used})"


def _named(names: list[str], kind: str) -> str:
    """Return for example `3 Shims: a, b, c`."""
    shown = ", ".join(sorted(names)[:NAMED])
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    plural = {"Shim": "Shims", "entry": "entries"}[kind] if len(names) > 1 else kind
    return f"{len(names)} {plural}: {shown}{more}"
