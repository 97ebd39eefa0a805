"""What one look asks, as plain values that a test can compare."""

from rcm_api.noderuntime import Wanted
from rcm_controller import actions, rollout, status, survey

ACTIVE, PREFETCH, ABSENT = Wanted.ACTIVE, Wanted.PREFETCH, Wanted.ABSENT


def decide(world):
    return rollout.decide(survey.look(world))


def of(world, kind):
    return [action for action in decide(world) if isinstance(action, kind)]


def asked(world, shim="spin"):
    """Return, by node, the phase and attempt of the Shim's entries that change."""
    found = {}
    for action in of(world, actions.CreateNodeRuntime | actions.UpdateNodeRuntime):
        runtime = world.runtimes.get(action.node)
        former = runtime and runtime.wanted(shim)
        entry = next((e for e in action.spec.shims if e.name == shim), None)
        if entry != former:
            found[action.node] = entry and (entry.phase, entry.attempt)
    return found


def activated(world, shim="spin"):
    """Return the nodes that are asked to change."""
    return sorted(node for node, ask in asked(world, shim).items() if ask and ask[0] is ACTIVE)


def withdrawn(world, shim="spin"):
    return sorted(node for node, ask in asked(world, shim).items() if ask and ask[0] is PREFETCH)


def removed(world, shim="spin"):
    return sorted(node for node, ask in asked(world, shim).items() if ask and ask[0] is ABSENT)


def labels(world):
    return {action.node: dict(action.shims) for action in of(world, actions.LabelNode)}


def told(world, kind, shim="spin"):
    """Return status and reason of a condition."""
    found = status.statuses(world)[shim].conditions
    return next((c.status, c.reason) for c in found if c.type == kind)


def message(world, kind, shim="spin"):
    return next(c.message for c in status.statuses(world)[shim].conditions if c.type == kind)
