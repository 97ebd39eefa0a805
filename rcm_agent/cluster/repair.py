"""Puts right what somebody else changed, a few times an hour; then it is a conflict.

Called by `loop`: `look` at each look, `mend` when nothing else is to be done.
"""

from __future__ import annotations

import structlog

from rcm_agent import desired, errors
from rcm_agent.cluster import (
    books,
    downloads,
    drift,
    operations,
    reasons,
    sight,
    tell,
    turn,
    wanted,
    watchers,
)
from rcm_agent.cluster import settings as rhythm
from rcm_agent.cluster.answers import Say
from rcm_agent.work import Work
from rcm_api.noderuntime import Phase, Wanted

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Repair:
    """What is known of other people's changes."""

    def __init__(
        self, kept: books.Books, observer: watchers.Observer, hands: operations.Operations
    ) -> None:
        """Know of none."""
        self._books = kept
        self._observer = observer
        self._hands = hands
        self._found: drift.Drift | None = None
        self._fights = drift.Fights()
        self._trouble: Say | None = None
        """Why the last repair did not work, or what it waits for."""
        self._judged = ""
        """Mark of the drift that is left alone for now."""
        self._until = 0.0
        self._since: float | None = None
        self.conflict = tell.Verdict()

    @property
    def dead(self) -> frozenset[str]:
        """Installed Shims that do not work now."""
        return self._found.dead if self._found is not None else frozenset()

    @property
    def due(self) -> bool:
        """Whether something is to be put right now, by an operation."""
        found = self._found
        return found is not None and not found.damaged and found.mark != self._judged

    @property
    def waits(self) -> bool:
        """Whether a repair waits for containers to end."""
        return self._trouble is not None and self._trouble.reason == reasons.IDLE

    def forgive(self) -> None:
        """The question has changed: what was left alone is tried again."""
        self._fights = drift.Fights()
        self._judged, self._trouble = "", None

    def resume(self, since_s: float) -> None:
        """An agent before us gave up so many seconds ago: its truce holds."""
        self._since = since_s

    def look(self, work: Work, seen: sight.Sight) -> dict[str, Say]:
        """Compare; returns what to say of the Shims that do not work."""
        self._found = drift.find(work.current, seen, config=work.site.config)
        now = work.host.machine.uptime_s()
        if self._since is not None:
            self._fights, self._since = drift.Fights((now - self._since,) * rhythm.REPAIRS), None
        if self._found is None or all(self._leaves(s.name) for s in work.current.shims):
            self._settle(found=seen.handlers is not None)
            return {}
        if now >= self._until:
            self._judged, self._trouble = "", None
        if self._found.mark != self._judged and self._fights.exhausted(now):
            self._give_up(self._found, now)
        say = self._trouble or Say(Phase.APPLYING, reasons.REPAIRING, self._found.what)
        return dict.fromkeys(self._found.dead, say)

    def mend(self, work: Work) -> bool:
        """Put it right in one operation; whether it is worth to look again at once."""
        found, now = self._found, work.host.machine.uptime_s()
        if found is None:
            return False
        try:
            outcome = self._hands.run(work, "repair", [])
        except errors.Blocked as error:
            self._leave(found, Say(Phase.WAITING, reasons.IDLE, error.cause), now + rhythm.GATE_S)
            return True
        if outcome.error is not None:
            self._fights = self._fights.fought(now, failed=True)
            reason, text = self._hands.reason(outcome.error), reasons.text(outcome.error)
            _log.warning("drift not repaired", where=found.where, reason=reason, problem=text)
            wait_s = turn.spent(work) if reason == reasons.BUDGET_SPENT else rhythm.HASH_S
            self._leave(found, Say(Phase.FAILED, reason, text), now + wait_s)
            return True
        if outcome.changed:
            self._repaired(found, now)
        else:  # the host means what the journal says, though it says it otherwise
            self._leave(
                found, Say(Phase.APPLYING, reasons.REPAIRING, found.what), now + rhythm.HASH_S
            )
        return True

    def damaged(self, work: Work) -> dict[str, desired.Wanted]:
        """Return what must be fetched again for installed Shims, by a name of its own."""
        found = self._found
        if found is None or found.mark == self._judged:
            return {}
        return {
            shim.name: wanted.again(shim, self._books.asked.get(shim.name))
            for shim in work.current.shims
            if shim.name in found.damaged and not self._leaves(shim.name)
        }

    def fetched(self, work: Work, done: downloads.Done) -> None:
        """Take in a download; it may have been that of a damaged binary."""
        found, now = self._found, work.host.machine.uptime_s()
        if found is None or done.wanted.name not in found.damaged:
            return
        if done.error is None:
            self._repaired(found, now)
            return
        self._fights = self._fights.fought(now, failed=True)
        said = Say(Phase.FAILED, reasons.of(done.error), reasons.text(done.error))
        self._leave(found, said, now + rhythm.HASH_S)

    def _leaves(self, name: str) -> bool:
        entry = self._books.asked.get(name)
        return entry is not None and entry.phase is Wanted.ABSENT

    def _repaired(self, found: drift.Drift, now: float) -> None:
        self._fights = self._fights.fought(now)
        self._books.count(repairs=1)
        self.conflict = tell.Verdict()
        self._observer.drift()
        _log.warning("drift repaired", where=found.where, what=found.what)

    def _settle(self, *, found: bool) -> None:
        """Nothing differs: if containerd says so, there is no conflict either."""
        self._found = None
        if found:
            self._judged, self._trouble, self._until = "", None, 0.0
            self.conflict = tell.Verdict()

    def _leave(self, found: drift.Drift, say: Say, until: float) -> None:
        self._judged, self._trouble, self._until = found.mark, say, until

    def _give_up(self, found: drift.Drift, now: float) -> None:
        """Stop for a while; the oldest repair's hour must be over."""
        until = self._fights.recent(now)[0] + rhythm.REPAIRS_WINDOW_S
        if self._fights.failed:
            said = self._trouble or Say(Phase.FAILED, reasons.CHANGE_FAILED, found.what)
            self._leave(found, said, until)
            return
        text = (
            f"{found.where}: {found.what}. It was put right {rhythm.REPAIRS} times within an hour "
            "and changed back; stop whoever writes it, or change the Shim. Left alone for an hour"
        )
        self._leave(found, Say(Phase.FAILED, reasons.CONFLICT, text), until)
        if self.conflict.good:
            self._observer.conflict()
            _log.error("somebody keeps changing it back", where=found.where, what=found.what)
        self.conflict = tell.Verdict(False, reasons.CONFLICT, text)  # noqa: FBT003
