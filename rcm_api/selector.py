"""Which nodes a Shim is for. Pure."""

from __future__ import annotations

from collections.abc import Mapping

OS_LABEL = "kubernetes.io/os"
"""Set by every kubelet."""


def matches(labels: Mapping[str, str], node_selector: Mapping[str, str] | None) -> bool:
    """Tell whether a node with these labels is chosen; without a selector, all Linux nodes are."""
    wanted = node_selector or {OS_LABEL: "linux"}
    return all(labels.get(key) == value for key, value in wanted.items())
