"""Which cgroup driver the node's containers use, so that Wasm containers use the same.

The wrong one costs pod metrics and everything that scales by them. containerd tells the kubelet
its driver from the runtimes based on runc, the default one first; this follows that rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rcm_agent.containerd import dialect, toml


def systemd_cgroup(dump: Mapping[str, Any], release: dialect.Release) -> bool | None:
    """Return the effective `SystemdCgroup` of the node's runc.

    None where it must not be passed on: containerd 1.6 drops a shim's options, and shims built on
    runwasi then fail. None too where no runtime is based on runc.
    """
    if not dialect.takes_options(release):
        return None
    containerd = dialect.effective(dump)
    runtimes = toml.table(containerd, "runtimes")
    first = (containerd.get("default_runtime_name", "runc"), "runc", *sorted(runtimes))
    for name in first:
        found = toml.table(runtimes, name)
        if found.get("runtime_type") == dialect.RUNC:
            return toml.table(found, "options").get("SystemdCgroup") is True
    return None
