"""What should be, worked out from objects and machines in another way than the planner does."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import replace

from rcm_api import names, noderuntime, shim
from rcm_api.noderuntime import Phase, Wanted
from rcm_controller import views
from tests.fakes import standin

Nodes = Mapping[str, views.NodeView]
DEAD = (Phase.FAILED, Phase.ROLLED_BACK)


def selects(found: shim.Shim, node: views.NodeView) -> bool:
    """Tell whether a Shim chooses a node."""
    selector = found.node_selector or {}
    return node.os == "linux" and selector.items() <= node.labels.items()


def selected(view: views.ShimView, nodes: Nodes) -> list[views.NodeView]:
    """Return the nodes of a Shim."""
    if view.wanted is None or view.deleting is not None:
        return []
    return [n for n in nodes.values() if not n.deleting and selects(view.wanted, n)]


def wanted_digest(view: views.ShimView, os: str, arch: str) -> str:
    """Return the digest that nodes of a platform shall have; empty: they cannot be served."""
    if view.wanted is None:
        return ""
    artifact = shim.choose(view.wanted, os=os, arch=arch)
    if artifact is None:
        return ""
    if artifact.sha256 is None:
        pins = {p.location: p.sha256 for p in view.status.artifacts}
        artifact = replace(artifact, sha256=pins.get(artifact.location))
    handler, options = view.wanted.runtime_class.handler, tuple(view.wanted.options.items())
    return _digest(artifact, handler, options)


@functools.lru_cache(maxsize=4096)
def _digest(artifact: shim.Artifact, handler: str, options: tuple[tuple[str, str], ...]) -> str:
    runtime_class = shim.RuntimeClass(name=handler, handler=handler)
    whole = shim.Shim(
        name="any", artifacts=(artifact,), runtime_class=runtime_class, options=dict(options)
    )
    return shim.digest(whole, artifact)


def budget(rollout: shim.Rollout, count: int) -> int:
    """Return how many of `count` nodes may be changing or broken."""
    return _share(rollout.max_update, count)


def failures(rollout: shim.Rollout, count: int) -> int:
    """Return the number of failed nodes at which a rollout stops."""
    if rollout.max_failures is None:
        return max(2, count * 2 // 100)
    return _share(rollout.max_failures, count)


def _share(number: int | str, count: int) -> int:
    if isinstance(number, str):
        number = int(number.removesuffix("%")) * count // 100
    return max(1, number)


def answered(entry: noderuntime.ShimWanted, told: noderuntime.ShimObserved | None) -> bool:
    """Tell whether the agent speaks of what it was asked for."""
    return told is not None and (told.observed_digest, told.observed_attempt) == (
        entry.digest,
        entry.attempt,
    )


def failed(runtime: noderuntime.NodeRuntime, name: str) -> str:
    """Return the digest that a node has tried in vain, empty: none."""
    entry, told = runtime.wanted(name), runtime.observed(name)
    if entry is None or told is None or told.phase not in DEAD or not answered(entry, told):
        return ""
    fetching = entry.phase is Wanted.PREFETCH and told.phase is Phase.FAILED
    return "" if entry.phase is Wanted.ABSENT or fetching else entry.digest


def changing(runtime: noderuntime.NodeRuntime | None, state: standin.NodeState, name: str) -> bool:
    """Tell whether a machine is being changed, or may begin to at any moment."""
    mine = state.entries.get(name)
    if mine is not None and (mine.work in ("apply", "remove") or mine.phase is Phase.WAITING):
        return True
    entry = None if runtime is None else runtime.wanted(name)
    if runtime is None or entry is None:
        return False
    if entry.phase is Wanted.ABSENT:
        return mine is not None and bool(mine.digest)
    if entry.phase is Wanted.PREFETCH or (mine is not None and has(mine, entry)):
        return False
    told = runtime.observed(name)
    settled = told is not None and told.phase in (Phase.READY, *DEAD)
    return not (settled and answered(entry, told))


def has(mine: standin.Entry, entry: noderuntime.ShimWanted) -> bool:
    """Tell whether what is asked for is there already, so that asking changes nothing."""
    return (mine.digest, mine.handler) == (entry.digest, entry.handler)


def labelled(node: views.NodeView, name: str) -> bool:
    """Tell whether a node carries the ready label of a Shim."""
    return names.ready_label(name) in node.labels


def node_class(facts: noderuntime.Facts) -> tuple[str, ...]:
    """Return what canaries are chosen by."""
    return facts.os, facts.arch, facts.distribution, *facts.containerd.split(".")[:2]


def late(shims: Iterable[views.ShimView]) -> set[str]:
    """Return the Shims whose handler or RuntimeClass belongs to an older one."""
    held: set[tuple[str, str]] = set()
    found: set[str] = set()
    for view in sorted(shims, key=lambda v: (v.created, v.name)):
        if view.wanted is None:
            continue
        claims = view.wanted.runtime_class
        mine = {("handler", claims.handler), ("class", claims.name)}
        if mine & held:
            found.add(view.name)
        else:
            held |= mine
    return found
