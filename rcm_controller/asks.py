"""What one node is asked about one Shim: the entries of NodeRuntime.spec.

Called by `waves`, `holds` and `removal`. `asked_at` moves exactly when the question changes. Pure.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from rcm_api.noderuntime import Artifact, ShimObserved, ShimWanted, Wanted
from rcm_controller.courses import Cell
from rcm_controller.targets import Target


def entry(
    cell: Cell, name: str, phase: Wanted, *, target: Target, now: datetime, again: bool = False
) -> ShimWanted:
    """Ask for a phase at the wanted digest; `again` tries a failed one once more."""
    former = cell.entry
    attempt = _attempt(cell, target) + again
    question = (target.digest, phase, attempt)
    if former is not None and (former.digest, former.phase, former.attempt) == question:
        now = former.asked_at or now
    return ShimWanted(
        name=name,
        handler=target.handler,
        artifact=target.artifact,
        digest=target.digest,
        phase=phase,
        options=target.options,
        disruption=target.disruption,
        attempt=attempt,
        asked_at=now,
    )


def _attempt(cell: Cell, target: Target) -> int:
    """Return the number that belongs to the digest, also when it comes back after another one."""
    if cell.entry is not None and cell.entry.digest == target.digest:
        return cell.entry.attempt
    if cell.seen is not None and cell.seen.observed_digest == target.digest:
        return cell.seen.observed_attempt
    return 0


def absent(cell: Cell, *, now: datetime) -> ShimWanted | None:
    """Ask to clean up; a new attempt, so that an answer to an older question is not taken for it."""
    if cell.entry is None:
        return None if cell.seen is None else _unasked(cell.seen, now)
    attempt = cell.entry.attempt + 1
    return msgspec.structs.replace(cell.entry, phase=Wanted.ABSENT, attempt=attempt, asked_at=now)


def _unasked(seen: ShimObserved, now: datetime) -> ShimWanted:
    """Ask about something that an earlier object of the node asked for."""
    return ShimWanted(
        name=seen.name,
        handler=seen.handler,
        artifact=Artifact(url=""),
        digest=seen.digest,
        phase=Wanted.ABSENT,
        attempt=seen.observed_attempt + 1,
        asked_at=now,
    )


def hold(former: ShimWanted, *, now: datetime) -> ShimWanted:
    """Ask to touch nothing."""
    return msgspec.structs.replace(former, phase=Wanted.PREFETCH, asked_at=now)
