"""What happened, on one line each, for the end of a failure's message."""

from __future__ import annotations

from typing import cast

from rcm_api import noderuntime
from rcm_controller import actions

WIDTH = 240


def line(time: float, who: str, what: object) -> str:
    """Return one line."""
    return f"{time:9.1f} {who:5} {said(what)}"[:WIDTH]


def said(what: object) -> str:
    """Return an action as short as it can be told."""
    match what:
        case tuple():
            return " ".join(map(said, cast("tuple[object, ...]", what)))
        case actions.CreateNodeRuntime():
            return f"create {what.node} {_spec(what.spec)}"
        case actions.UpdateNodeRuntime():
            return f"update {what.node}@{what.resource_version} {_spec(what.spec)}"
        case actions.WriteShimStatus():
            counts = what.status
            return (
                f"status {what.shim} g{counts.observed_generation} ready {counts.nodes_ready}"
                f"/{counts.nodes} {counts.canaries}"
            )
        case _:
            return str(what)


def _spec(spec: noderuntime.Spec) -> str:
    entries = (f"{e.name}={e.phase} {e.digest[:6]}#{e.attempt} {e.handler}" for e in spec.shims)
    return f"[{spec.node_uid}] " + ", ".join(entries)
