"""Why a node of a rollout that goes on may not change yet: one word per violation.

Called by `waves`, node by node in order. A `Ledger` is what one look knows of one Shim and what it
has given out so far; it is thrown away with the look. Pure.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from rcm_controller import courses, node_classes
from rcm_controller.courses import Cell, Course, Stage
from rcm_controller.states import State


class Held(enum.StrEnum):
    """The violations."""

    NOT_PINNED = "NotPinned"
    NOT_FETCHED = "NotFetched"
    BUDGET_SPENT = "BudgetSpent"
    CANARIES_FIRST = "CanariesFirst"
    SOAKING = "Soaking"
    WORKERS_FIRST = "WorkersFirst"
    CONTROL_PLANE_BUSY = "ControlPlaneBusy"
    HANDLER_IN_USE = "HandlerInUse"


@dataclass(slots=True)
class Ledger:
    """One Shim's account during one look."""

    course: Course
    free: int
    """Nodes that may start to change."""
    slots: dict[str, int]
    """Places for canaries left, by class."""
    stages: Mapping[str, Stage]
    stopped: bool
    moving: bool
    """Some node is changing or some class is soaking: waiting for it has an end."""
    workers_left: int
    """Live workers that are not done."""
    cells: Mapping[str, Cell] = field(default_factory=dict[str, Cell])
    """Live nodes that are fetching or fetched, by name."""

    @property
    def paused(self) -> bool:
        """Tell whether a user holds the rollout."""
        return self.course.rollout.paused

    @property
    def at_once(self) -> bool:
        """Tell whether neither canaries nor a budget are asked for."""
        return self.course.rollout.type == "recreate"


@dataclass(slots=True)
class ControlPlane:
    """Control-plane nodes that are changing or broken, over all Shims."""

    busy: set[str]
    resigned: frozenset[str] = frozenset()
    """Of these, those that failed for good: on their former version, and left alone."""


def violation(ledger: Ledger, cell: Cell, control_plane: ControlPlane) -> Held | None:
    """Return the first reason to leave the node as it is; None: it may change."""
    if cell.target is None or not cell.target.pinned:
        return Held.NOT_PINNED
    if cell.state is State.FETCHING:
        return Held.NOT_FETCHED
    if cell.node.control_plane:
        found = _control_plane(ledger, cell, control_plane)
        if found is not None:
            return found
    if courses.rivals(cell):
        return Held.HANDLER_IN_USE
    return None if ledger.at_once else _in_waves(ledger, cell)


def _control_plane(ledger: Ledger, cell: Cell, control_plane: ControlPlane) -> Held | None:
    if ledger.workers_left:
        return Held.WORKERS_FIRST
    return Held.CONTROL_PLANE_BUSY if control_plane.busy - {cell.node.name} else None


def _in_waves(ledger: Ledger, cell: Cell) -> Held | None:
    kind = node_classes.of(cell.runtime) or ""
    stage = ledger.stages.get(kind, Stage.UNPROVEN)
    if stage is Stage.SOAKING:
        return Held.SOAKING
    if stage is Stage.UNPROVEN and ledger.slots.get(kind, 0) < 1:
        return Held.CANARIES_FIRST
    return Held.BUDGET_SPENT if ledger.free < 1 else None


def spend(ledger: Ledger, cell: Cell, control_plane: ControlPlane) -> None:
    """Enter a node that is activated now."""
    kind = node_classes.of(cell.runtime) or ""
    ledger.free -= 1
    ledger.slots[kind] = ledger.slots.get(kind, 0) - 1
    ledger.moving = True
    if cell.node.control_plane:
        control_plane.busy.add(cell.node.name)
