"""Which nodes resemble each other enough that what works on one should work on all of them. Pure."""

from __future__ import annotations

import functools

from rcm_api import noderuntime


def of(facts: noderuntime.Facts) -> str:
    """Return os/arch/distribution/containerd minor, as the agent found them."""
    return _named(facts.os, facts.arch, facts.distribution, facts.containerd)


@functools.lru_cache(maxsize=1024)
def _named(os: str, arch: str, distribution: str, containerd: str) -> str:
    minor = ".".join(containerd.removeprefix("v").split(".")[:2])
    return "/".join((os or "?", arch or "?", distribution or "?", minor or "?"))
