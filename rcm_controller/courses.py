"""One Shim and its nodes, as a look finds them.

`survey` fills these records; every decision reads them. Pure.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from rcm_api import names, shim
from rcm_api.noderuntime import NodeRuntime, ShimObserved, ShimWanted
from rcm_controller import claims, states, views
from rcm_controller.node_classes import Tally
from rcm_controller.states import State
from rcm_controller.targets import Target


class Stage(enum.StrEnum):
    """How far a node class is at the wanted digest."""

    UNPROVEN = "Unproven"
    SOAKING = "Soaking"
    PROVEN = "Proven"


class Aim(enum.StrEnum):
    """What a Shim is about."""

    ROLL = "Roll"
    HOLD = "Hold"
    """Invalid, refused or too late: no effect, and what is installed stays."""
    REMOVE = "Remove"
    """Deleted, or gone already and left on nodes."""


class Cell(msgspec.Struct, frozen=True, gc=False):
    """One Shim on one node."""

    node: views.NodeView
    runtime: NodeRuntime | None
    """None: there is none, or it belongs to a former Node of that name."""
    entry: ShimWanted | None
    seen: ShimObserved | None
    target: Target | None
    """None: nothing for this platform, or the node shall not have the Shim."""
    state: State

    @property
    def shim(self) -> str:
        """Name of the Shim, of a cell that has an entry or an answer."""
        known = self.entry or self.seen
        return "" if known is None else known.name

    @property
    def live(self) -> bool:
        """Tell whether the node can be asked to change now."""
        return self.node.ready and not self.node.deleting

    @property
    def changing(self) -> bool:
        """Tell whether the agent is about to touch the node."""
        return self.seen is not None and self.seen.phase in states.CHANGING

    @property
    def installed(self) -> bool:
        """Tell whether something of the Shim may be in use by containerd."""
        return self.changing or (self.seen is not None and bool(self.seen.digest))


@dataclass(frozen=True, slots=True)
class Course:
    """One Shim and all its nodes."""

    name: str
    view: views.ShimView | None
    """None: the Shim is gone, and entries are left."""
    aim: Aim
    rollout: shim.Rollout
    taken: claims.Taken | None = None
    """Why it came too late."""
    cells: list[Cell] = field(default_factory=list[Cell])
    """Selected nodes, in the order of the world."""
    undone: list[Cell] = field(default_factory=list[Cell])
    """Those of them about which there is anything to do, to wait for or to tell."""
    leaving: list[Cell] = field(default_factory=list[Cell])
    """Others that have an entry."""
    held: list[Cell] = field(default_factory=list[Cell])
    """With `HOLD`: nodes that have an entry and keep it."""
    strangers: list[Cell] = field(default_factory=list[Cell])
    """Nodes that were asked, and whose Node is not known (gone, or not seen yet) or whose object is
    being deleted. They may be changing all the same, and count; nobody asks them anything."""
    classes: dict[str, Tally] = field(default_factory=dict[str, Tally])
    """Selected and supported nodes, counted by class."""
    targets: dict[tuple[str, str], Target | None] = field(
        default_factory=dict[tuple[str, str], Target | None]
    )
    """By the nodes' operating system and architecture."""
    stages: dict[str, Stage] = field(default_factory=dict[str, Stage])
    """How far each class is; `canaries` works it out once per look."""

    @property
    def wanted(self) -> shim.Shim | None:
        """The manifest, unless it is invalid or gone."""
        return None if self.view is None else self.view.wanted

    @property
    def started(self) -> bool:
        """Tell whether the finalizer stands, without which there is no effect."""
        return self.view is None or names.FINALIZER in self.view.finalizers

    @property
    def deleting(self) -> bool:
        """Tell whether a user deleted the Shim."""
        return self.view is not None and self.view.deleting is not None

    def __iter__(self) -> Iterator[Cell]:
        """Yield every node about which there may be something to do."""
        yield from self.undone
        yield from self.leaving
        yield from self.held


def rivals(cell: Cell) -> tuple[str, ...]:
    """Return other Shims that have an entry with the same handler on the node."""
    runtime, entry = cell.runtime, cell.entry
    if runtime is None or entry is None or len(runtime.spec.shims) < 2:  # noqa: PLR2004 - and another
        return ()
    found = runtime.spec.shims
    return tuple(e.name for e in found if e.handler == entry.handler and e.name != entry.name)
