"""Who may use a handler and a RuntimeClass name when several Shims want them: the oldest.

Called by `survey`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rcm_controller import views


@dataclass(frozen=True, slots=True)
class Taken:
    """Something that a Shim wants and an older one has."""

    what: str
    """`handler` or `RuntimeClass`."""
    name: str
    holder: str
    """The older Shim."""


def taken(shims: Iterable[views.ShimView]) -> Mapping[str, Taken]:
    """Return what stands in the way of each Shim that came too late."""
    holders: dict[tuple[str, str], str] = {}
    found: dict[str, Taken] = {}
    for view in sorted(shims, key=lambda v: (v.created, v.name)):
        wants = _wants(view)
        clash = next((want for want in wants if want in holders), None)
        if clash is None:
            holders.update(dict.fromkeys(wants, view.name))
        else:
            found[view.name] = Taken(what=clash[0], name=clash[1], holder=holders[clash])
    return found


def _wants(view: views.ShimView) -> tuple[tuple[str, str], ...]:
    if view.wanted is None:
        return ()
    runtime_class = view.wanted.runtime_class
    return ("handler", runtime_class.handler), ("RuntimeClass", runtime_class.name)
