"""Who may use a handler and a RuntimeClass name when several Shims want them: the oldest.

Called by `survey`. A manifest that became invalid says nothing any more, but what it installed
stays: such a Shim holds what its nodes and its RuntimeClass still have, or a typo would hand its
nodes over to a younger one. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rcm_api.noderuntime import Wanted
from rcm_controller import views
from rcm_controller.world import World


@dataclass(frozen=True, slots=True)
class Taken:
    """Something that a Shim wants and an older one has."""

    what: str
    """`handler` or `RuntimeClass`."""
    name: str
    holder: str
    """The older Shim."""


Claim = tuple[str, str]
"""Sort and name."""


def taken(world: World) -> Mapping[str, Taken]:
    """Return what stands in the way of each Shim that came too late."""
    if len(world.shims) < 2:  # noqa: PLR2004 - one alone has no rival
        return {}
    holders: dict[Claim, str] = {}
    found: dict[str, Taken] = {}
    for view in sorted(world.shims.values(), key=lambda v: (v.created, v.name)):
        wants = _has(view, world) if view.wanted is None else _wants(view)
        clash = next((want for want in wants if want in holders), None)
        if clash is None or view.wanted is None:
            holders.update({want: view.name for want in wants if want not in holders})
        else:
            found[view.name] = Taken(what=clash[0], name=clash[1], holder=holders[clash])
    return found


def _wants(view: views.ShimView) -> tuple[Claim, ...]:
    if view.wanted is None:
        return ()
    runtime_class = view.wanted.runtime_class
    return ("handler", runtime_class.handler), ("RuntimeClass", runtime_class.name)


def _has(view: views.ShimView, world: World) -> tuple[Claim, ...]:
    """Return what an unreadable Shim left in the cluster."""
    mine = [found for found in world.classes.values() if view.uid in found.owners]
    handlers = {found.handler for found in mine}
    for runtime in world.runtimes.values():
        entry = runtime.wanted(view.name)
        if entry is not None and entry.phase is not Wanted.ABSENT:
            handlers.add(entry.handler)
    classes = sorted(("RuntimeClass", found.name) for found in mine)
    return (*(("handler", handler) for handler in sorted(handlers)), *classes)
