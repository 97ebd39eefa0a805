"""Which bytes every node must have: given in the manifest, or the first download's.

Called by `status`, which keeps them in the Shim; `targets` reads them from there. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rcm_api import names, shim
from rcm_api.shim_status import PinnedArtifact
from rcm_controller import targets
from rcm_controller.courses import Aim, Cell, Course
from rcm_controller.states import State

_SHA256 = re.compile(names.SHA256)
_HAVE = frozenset({State.FETCHED, State.BLOCKED, State.READY})


def renew(course: Course) -> tuple[PinnedArtifact, ...]:
    """Return the artifacts for the status."""
    former = () if course.view is None else course.view.status.artifacts
    if course.aim is not Aim.ROLL or course.wanted is None:
        return former
    return tuple(_pins(course, course.wanted, former))


def _pins(
    course: Course, wanted: shim.Shim, former: tuple[PinnedArtifact, ...]
) -> Iterator[PinnedArtifact]:
    for artifact in targets.platforms(wanted):
        sha256 = targets.sha256(artifact, former)
        known = next((p for p in former if p.sha256 == sha256 and p.size), None)
        first = None if known is not None else _first(course, artifact)
        if sha256 is None and first is None:
            continue
        yield PinnedArtifact(
            os=artifact.os,
            arch=artifact.arch,
            location=artifact.location,
            sha256=sha256 or _sha256(first),
            size=known.size if known is not None else _size(first),
            trusted_on_first_use=artifact.sha256 is None,
        )


def _first(course: Course, artifact: shim.Artifact) -> Cell | None:
    """Return the first node that has the file and tells its hash."""
    platform = (artifact.os, artifact.arch)
    if not any(t is not None and t.platform == platform for t in course.targets.values()):
        return None
    found = (cell for cell in course.cells if _has(cell, platform))
    return min(found, key=lambda cell: cell.node.name, default=None)


def _has(cell: Cell, platform: tuple[str, str]) -> bool:
    target = cell.target
    if target is None or target.platform != platform or cell.state not in _HAVE:
        return False
    sha256 = _sha256(cell)
    return _SHA256.fullmatch(sha256) is not None and target.artifact.sha256 in {"", sha256}


def _sha256(cell: Cell | None) -> str:
    return "" if cell is None or cell.seen is None else cell.seen.sha256


def _size(cell: Cell | None) -> int:
    return 0 if cell is None or cell.seen is None else cell.seen.size
