"""Names that may be written to containerd, to labels and to paths, and those that may not.

Pure. `shim_fields` makes rules for manifests of these patterns, for the parser and for the CRD.
"""

from __future__ import annotations

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
"""RFC 1123 label, a label's value, and the name part of its key."""
MAX_SUBDOMAIN = 253
"""RFC 1123 subdomain: what Kubernetes lets an object be called."""

LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
"""RFC 1123 label."""
SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"
SHA256 = r"[0-9a-fA-F]{64}"
LABEL_VALUE = r"([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?"
"""Of a Kubernetes label."""
LABEL_KEY = r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
"""Of a Kubernetes label. Its length is part of the pattern: a CRD can limit keys no other way."""

RESERVED_HANDLERS = ("runc", "crun")
RESERVED_PREFIXES = ("kata", "nvidia")
"""Whoever could define one of these would take over pods that are not theirs (faults.md S10)."""


def ready_label(shim: str) -> str:
    """Return the label key that says on a Node that a Shim works there."""
    return READY_PREFIX + shim
