"""Names that may be written to containerd, to labels and to paths, and those that may not.

Pure. Called by `shim` while it parses, and by the agent before it writes.
"""

from __future__ import annotations

import re

GROUP = "runtime.spinkube.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
MANAGER = "runtime-class-manager"
"""Value of `app.kubernetes.io/managed-by` and prefix of our field managers."""
FINALIZER = "rcm.spinkube.dev/finalizer"
READY_PREFIX = "rcm.node-restriction.kubernetes.io/"
"""A kubelet may not write labels of `*.node-restriction.kubernetes.io` on its own Node
(admission plugin NodeRestriction)."""
READY = "ready"

MAX_LABEL = 63
"""RFC 1123 label, and the name part of a Kubernetes label key."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", re.ASCII)
_SUBDOMAIN = re.compile(
    r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.ASCII
)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)

RESERVED_HANDLERS = ("runc", "crun")
RESERVED_PREFIXES = ("kata", "nvidia")
"""Whoever could define one of these would take over pods that are not theirs (faults.md S10)."""


def label_problem(text: str) -> str | None:
    """Say why `text` is no RFC 1123 label, None when it is one."""
    if not text:
        return "is empty"
    if len(text) > MAX_LABEL:
        return f"has {len(text)} characters; at most {MAX_LABEL} are allowed"
    if not _LABEL.fullmatch(text):
        return "must consist of a-z, 0-9 and '-', and begin and end with a letter or digit"
    return None


def name_problem(text: str) -> str | None:
    """Say why `text` cannot name a Shim, None when it can."""
    if not text:
        return "is empty"
    if len(text) > MAX_LABEL:
        return f"has {len(text)} characters; at most {MAX_LABEL} are allowed"
    if not _SUBDOMAIN.fullmatch(text):
        return "must consist of a-z, 0-9, '-' and '.', and begin and end with a letter or digit"
    return None


def handler_problem(text: str) -> str | None:
    """Say why `text` cannot be a handler of ours, None when it can."""
    problem = label_problem(text)
    if problem is not None:
        return problem
    if text in RESERVED_HANDLERS or text.startswith(RESERVED_PREFIXES):
        return "is reserved for another runtime"
    return None


def is_sha256(text: str) -> bool:
    """Tell whether `text` is 64 lower-case hex digits."""
    return _SHA256.fullmatch(text) is not None


def ready_label(shim: str) -> str:
    """Return the label key that says on a Node that a Shim works there."""
    return READY_PREFIX + shim
