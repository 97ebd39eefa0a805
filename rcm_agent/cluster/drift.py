"""Says what somebody else changed on the host, and whether putting it right is still sensible. Pure.

Called by `loop` after each look.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rcm_agent import records, settings
from rcm_agent.cluster import settings as rhythm
from rcm_agent.cluster.sight import Sight


@dataclass(frozen=True, slots=True)
class Drift:
    """What is not as it was proven."""

    where: str
    """The file to look at first."""
    what: str
    """For a person."""
    dead: frozenset[str] = frozenset()
    """Shims that do not work because of it."""
    damaged: frozenset[str] = frozenset()
    """Those of them whose binary must be fetched again."""
    mark: str = ""
    """The same for the same change: what was judged once need not be judged again."""


def find(current: records.Generation, sight: Sight, *, config: str) -> Drift | None:
    """Return what differs from the journal; None: nothing, or containerd does not answer.

    `config` is the path of containerd's own file.
    """
    loaded, status = sight.handlers, sight.observed.status
    if not current.shims or loaded is None or status is None:
        return None
    problems = list(_problems(current, sight, loaded))
    dead = frozenset(name for name, _, _ in problems)
    if current.tree != sight.tree:
        problems.append(("", (sight.changed or (config,))[0], "containerd's configuration changed"))
    if current.containerd != status.runtime_version:
        problems.append(("", config, f"containerd is {status.runtime_version} now"))
    if not problems:
        return None
    where = (sight.changed or (problems[0][1] or config,))[0]
    what = "; ".join(dict.fromkeys(text for _, _, text in problems))
    mark = f"{sight.tree} {status.runtime_version} {what}"
    return Drift(where=where, what=what, dead=dead, damaged=sight.damaged, mark=mark)


def _problems(
    current: records.Generation, sight: Sight, loaded: frozenset[str]
) -> Iterator[tuple[str, str, str]]:
    for shim in current.shims:
        link = settings.link(shim.handler)
        if shim.name in sight.damaged:
            yield shim.name, shim.path, f"{shim.path} is missing or damaged"
        elif sight.observed.links.get(link) != shim.path:
            yield shim.name, link, f"{link} does not point to {shim.path}"
        elif shim.handler not in loaded:
            yield shim.name, "", f"containerd has not loaded the handler {shim.handler}"


@dataclass(frozen=True, slots=True)
class Fights:
    """When somebody's changes were put right, in seconds since boot."""

    times: tuple[float, ...] = ()
    failed: bool = False
    """The last time it could not be put right."""

    def recent(self, now: float) -> tuple[float, ...]:
        """Return those that still count."""
        return tuple(t for t in self.times if now - t < rhythm.REPAIRS_WINDOW_S)

    def exhausted(self, now: float) -> bool:
        """Tell whether it was put right often enough."""
        return len(self.recent(now)) >= rhythm.REPAIRS

    def fought(self, now: float, *, failed: bool = False) -> Fights:
        """Return it with one more."""
        return Fights((*self.recent(now), now), failed=failed)
