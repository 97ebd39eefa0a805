"""The words for what went wrong: a closed set, for `status.shims[].reason`, conditions and metrics.

Called by whoever reports an error. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from rcm_agent import errors
from rcm_agent.records import Step

IDLE = "WaitingForIdle"
"""A restart would end running containers; `rcm_controller.states` knows this word."""
IN_USE = "InUse"
"""Pods still use the Shim that shall go."""
REPAIRING = "Repairing"
CONFLICT = "Conflict"
FETCH_FAILED = "FetchFailed"
DIGEST_MISMATCH = "DigestMismatch"
SHIM_BROKEN = "ShimBroken"
CONFIG_REFUSED = "ConfigRefused"
HANDLER_TAKEN = "HandlerTaken"
INVALID = "Invalid"
BUDGET_SPENT = "BudgetSpent"
UNSUPPORTED = "UnsupportedHost"
DEGRADED = "Degraded"
BUSY = "Busy"
CONTAINERD_DOWN = "ContainerdDown"
SYSTEMD_FAILED = "SystemdFailed"
HOST_FAILED = "HostFailed"
PROOF_FAILED = "ProofFailed"
VERIFY_FAILED = "VerifyFailed"
RESTART_FAILED = "RestartFailed"
SWITCH_FIRED = "SwitchFired"
CHANGE_FAILED = "ChangeFailed"

_BY_STEP: Mapping[str, str] = {
    Step.TRY: CONFIG_REFUSED,
    Step.RESTART: RESTART_FAILED,
    Step.VERIFY: VERIFY_FAILED,
    Step.PROVE: PROOF_FAILED,
    Step.DISARM: SWITCH_FIRED,
}
_BY_KIND: tuple[tuple[type[errors.AgentError], str], ...] = (
    (errors.DigestMismatch, DIGEST_MISMATCH),
    (errors.FetchError, FETCH_FAILED),
    (errors.ShimBroken, SHIM_BROKEN),
    (errors.HandlerTaken, HANDLER_TAKEN),
    (errors.ConfigRefused, CONFIG_REFUSED),
    (errors.ManifestError, INVALID),
    (errors.BudgetSpent, BUDGET_SPENT),
    (errors.Blocked, IDLE),
    (errors.UnsupportedHost, UNSUPPORTED),
    (errors.Degraded, DEGRADED),
    (errors.Busy, BUSY),
    (errors.Conflict, CONFLICT),
    (errors.CriError, CONTAINERD_DOWN),
    (errors.UnitError, SYSTEMD_FAILED),
)
"""Subclasses come before their parents."""

ALL = frozenset(
    {
        *(IN_USE, REPAIRING, HOST_FAILED, CHANGE_FAILED),
        *_BY_STEP.values(),
        *(word for _, word in _BY_KIND),
    }
)
_LONG_ID = re.compile(r'((?:sandbox|container) "[0-9a-f]{12})[0-9a-f]{52}(?=")')


def of(error: errors.AgentError, *, step: str = "") -> str:
    """Return the word for an error; `step` is where an operation that was rolled back failed."""
    if isinstance(error, errors.RolledBack):
        return _BY_STEP.get(step, CHANGE_FAILED)
    return next((word for kind, word in _BY_KIND if isinstance(error, kind)), HOST_FAILED)


def text(error: errors.AgentError) -> str:
    """Return what to tell a person: the cause, and what to do where there is room for it.

    A status has little room: a sandbox's ID of 64 digits is cut as `crictl` shows it. Digests of
    files stay whole, for manifests.
    """
    said = f"{error.cause}; {error.advice}" if error.advice else error.cause
    return _LONG_ID.sub(r"\1", said)
