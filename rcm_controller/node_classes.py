"""Which nodes resemble each other enough that what works on one should work on all of them.

Called by `survey`, which counts each class as it sorts the nodes. Pure.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from rcm_api import noderuntime


@dataclass(slots=True)
class Tally:
    """Nodes of one class; `survey` fills it, and nobody changes it after that."""

    digest: str
    """What they shall have."""
    live: int = 0
    ready: int = 0
    """Live ones at the wanted digest."""
    trying: int = 0
    """Those that take, or took, a canary's place."""
    failed: int = 0
    """Dead ones too: a node that dies while it is changed is no proof of innocence."""


def of(runtime: noderuntime.NodeRuntime | None) -> str | None:
    """Return os/arch/distribution/containerd minor; None: the agent has not told yet."""
    if runtime is None:
        return None
    facts = runtime.status.facts
    if not facts.os and not facts.containerd:
        return None
    return _named(facts.os, facts.arch, facts.distribution, facts.containerd)


@functools.lru_cache(maxsize=1024)
def _named(os: str, arch: str, distribution: str, containerd: str) -> str:
    minor = ".".join(containerd.removeprefix("v").split(".")[:2])
    return "/".join((os or "?", arch or "?", distribution or "?", minor or "?"))
