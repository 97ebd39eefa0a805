"""Sentences about nodes and Shims, for the messages of conditions.

Called by `wording`. Each says what is so and, where a person can do something, what to do. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from rcm_controller import finalizers, removal, targets
from rcm_controller.courses import Cell, Course
from rcm_controller.states import State
from rcm_controller.survey import Survey
from rcm_controller.tally import Counts

SHOWN = 3
"""Names in a message; the NodeRuntimes have all of them. A guess."""
CUT = 256
"""Characters of a node's own words in a message: all that a node says. What failed stands at the end
of containerd's sentences."""


def listed(names: Collection[str]) -> str:
    """Name the first few, and tell how many there are."""
    shown = ", ".join(sorted(names)[:SHOWN])
    more = len(names) - SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def nodes(count: int) -> str:
    """Say how many nodes."""
    return "1 node" if count == 1 else f"{count} nodes"


def share(counts: Counts) -> str:
    """Say how far the nodes are."""
    parts = [f"{counts.ready} of {nodes(counts.nodes)} at the wanted version"]
    if counts.waiting:
        parts.append(f"{counts.waiting} waiting for pods that a restart would end")
    if counts.failed:
        parts.append(f"{counts.failed} failed")
    if counts.down:
        parts.append(f"{counts.down} down, to follow when back")
    if counts.unsupported:
        parts.append(f"{counts.unsupported} not supported (kubectl get noderuntimes says why)")
    return "; ".join(parts) + "."


def unsupported(course: Course) -> str:
    """Say that no node can be served."""
    names = [cell.node.name for cell in course.cells]
    return (
        f"No node can be served: {listed(names)}. Add an artifact for their "
        "platform, or see the condition Supported of their NodeRuntimes."
    )


def silent(cells: Iterable[Cell]) -> str:
    """Say whose agents are silent."""
    names = [cell.node.name for cell in cells]
    return (
        f"{nodes(len(names))} did not fetch the artifact in time: {listed(names)}. "
        "See whether the agent's pod runs there."
    )


def reasons(failed: Sequence[Cell]) -> str:
    """Say what the first failed nodes say, and how many more there are."""
    words = "; ".join(map(own_words, failed[:SHOWN]))
    more = len(failed) - SHOWN
    return f"{words} and {more} more" if more > 0 else words


def own_words(cell: Cell) -> str:
    """Say what a failed node says."""
    if cell.state is State.STUCK or cell.seen is None:
        return f"{cell.node.name}: no answer from its agent"
    said = (cell.seen.message or cell.seen.reason or cell.seen.phase).strip().rstrip(".")
    return f"{cell.node.name}: {said[:CUT]}"


def draining(counts: Counts) -> str:
    """Say how many nodes wait for their pods."""
    return f"; {counts.draining} waiting until their pods are gone" if counts.draining else ""


def deletion(course: Course, survey: Survey) -> str:
    """Say what a deletion waits for."""
    world = survey.world
    left = [c for c in course.leaving if not removal.forsaken(c, course, world)]
    if not left:
        rest = listed(list(finalizers.remains(course, survey)))
        return f"Left: {rest}." if rest else "Nothing is left."
    message = f"{nodes(len(left))} not clean: {listed([c.node.name for c in left])}."
    used = [c.node.name for c in left if c.state is State.DRAINING and removal.in_use(c)]
    if used:
        message += f" Pods still use the shim on {listed(used)}: delete or move them."
    failed = [own_words(c) for c in left if c.state is State.REMOVAL_FAILED]
    if failed:
        message += f" {listed(failed)}."
    down = [c.node.name for c in left if not c.live]
    if down:
        deadline_s = int(world.policy.dead_node_deadline.total_seconds())
        message += f" Down: {listed(down)}; they are not waited for longer than {deadline_s} s."
    return message


def taken(course: Course) -> str:
    """Say what an older Shim has."""
    found = course.taken
    if found is None:
        return ""
    return (
        f"{found.what} {found.name!r} belongs to the older Shim {found.holder!r}. "
        f"Choose another {found.what} here, or delete that Shim."
    )


def digest_required(course: Course) -> str:
    """Say which hashes are missing."""
    wanted = course.wanted
    missing = () if wanted is None else (a for a in targets.platforms(wanted) if not a.sha256)
    places = listed([f"{a.os}/{a.arch or 'any'}" for a in missing])
    return f"This cluster refuses artifacts without sha256 ({places}). Add sha256 to each of them."
