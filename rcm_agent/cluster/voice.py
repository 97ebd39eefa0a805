"""Tells the status: what is known of host, Shims and conditions, whenever it may have changed.

Owned by `loop`. The writer takes the newest status and sends it when it can; observers see each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from rcm_agent import errors
from rcm_agent.cluster import books, mirror, reasons, repair, sight, tell, watchers
from rcm_agent.distro import site
from rcm_agent.records import Generation
from rcm_api import noderuntime

Facts = Callable[[site.Site | None, str], noderuntime.Facts]
"""What the node is, by containerd's site and how its configuration is edited."""
Offer = Callable[[noderuntime.Status | None], None]
"""Takes the status to be written."""


class Voice:
    """What the agent has to say."""

    def __init__(
        self,
        seen: mirror.Mirror,
        offer: Offer,
        *,
        facts: Facts,
        observer: watchers.Observer,
        now: Callable[[], datetime],
    ) -> None:
        """Say nothing yet."""
        self._seen = seen
        self._offer = offer
        self._facts = facts
        self._observer = observer
        self._now = now
        self._said = noderuntime.Status()
        self._current = Generation()
        self._users: Mapping[str, int] = {}
        self.supported = tell.Verdict()
        self.healthy = tell.Verdict()

    def ill(self, error: errors.AgentError) -> None:
        """The host is in trouble."""
        self.healthy = _wrong(reasons.of(error), reasons.text(error))

    def unsupported(self, error: errors.AgentError) -> None:
        """The host cannot be served."""
        self.supported = _wrong(reasons.of(error), reasons.text(error))

    def cut(self) -> None:
        """An operation is not over."""
        text = "an operation could be neither finished nor undone; it is tried again"
        self.healthy = _wrong(reasons.DEGRADED, text)

    def look(self, current: Generation, seen: sight.Sight) -> None:
        """Take in a look at the host."""
        self._current, self._users = current, seen.users
        status, unit = seen.observed.status, seen.observed.unit
        if status is None:
            text = f"CRI does not answer; {unit.name} is {unit.active_state}"
            self.healthy = _wrong(reasons.CONTAINERD_DOWN, text)
        elif not status.runtime_ready:
            text = "CRI answers, and says that the runtime is not ready"
            self.healthy = _wrong(reasons.CONTAINERD_DOWN, text)
        else:
            self.healthy = tell.Verdict()

    def publish(self, kept: books.Books, mended: repair.Repair, where: site.Site | None) -> None:
        """Make the status of what is known now, and have it written if it is another one."""
        found = self._seen.get()
        if not kept.generation or found is None:
            return
        story = tell.Story(
            generation=kept.generation,
            facts=self._facts(where, self._current.strategy),
            answers=kept.said if self.supported.good else {},
            installed={shim.name: shim for shim in self._current.shims},
            users=self._users,
            dead=mended.dead,
            counters=kept.counters,
            supported=self.supported,
            healthy=self.healthy,
            conflict=mended.conflict,
        )
        former = self._said if self._said.conditions else found.status
        status = tell.status(story, former, now=self._now())
        if status != self._said:
            self._said = status
            self._observer.told(status)
        self._offer(status)


def _wrong(reason: str, message: str) -> tell.Verdict:
    return tell.Verdict(good=False, reason=reason, message=message)
