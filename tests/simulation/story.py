"""What happens in a simulated life, drawn from the scheduler's source, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.fakes import standin
from tests.simulation.cluster import KINDS
from tests.simulation.misfortune import Misfortune
from tests.simulation.people import People


class Story(Misfortune, People):
    """All events of a life."""

    def begin(self, nodes: int) -> None:
        """Make the first nodes and the first Shim."""
        for _ in range(nodes):
            self.node_joins()
        self.shim_created()

    def draw(self) -> None:
        """Let one thing happen."""
        kinds, weights = zip(*_EVENTS, strict=True)
        event: Callable[[Story], None] = self.scheduler.random.choices(kinds, weights)[0]
        self.scheduler.tell("story", event.__name__)
        event(self)

    def end_well(self) -> None:
        """End all faults; releases may stay as bad as they are, or become good."""
        faults = self.controllers[0].faults
        faults.write, faults.lease, faults.lag_s, faults.stale_s = 0.0, 0.0, 0.1, 0.0
        self.fleet.lost_writes, self.calm = 0.0, True
        for replica in self.controllers:
            replica.skew = 0.0
            replica.cache.lag = dict.fromkeys(KINDS, 0.1)
        for url, behaviour in self.fleet.behaviours.items():
            if behaviour.hangs:
                self.fleet.behaviours[url] = standin.GOOD
        for name in self.fleet.machines:
            self.fleet.revive(name)
            self.fleet.set_ready(name, ready=True)
            self.fleet.change(name, busy_until=None, in_use_until=None)

    def mend(self) -> None:
        """Give every Shim a good release, and let it roll."""
        for view in list(self.cluster.shims.values()):
            if view.wanted is None or view.deleting is not None:
                continue
            rollout = replace(view.wanted.rollout, paused=False)
            wanted = replace(view.wanted, artifacts=self._artifacts(), rollout=rollout)
            edited = replace(view, wanted=wanted, generation=view.generation + 1)
            self.cluster.put("shims", view.name, edited)


_EVENTS: tuple[tuple[Callable[[Story], None], float], ...] = (
    (Story.node_joins, 3),
    (Story.node_leaves, 2),
    (Story.node_dies, 3),
    (Story.node_is_back, 6),
    (Story.agent_goes_away, 1),
    (Story.node_gets_another_uid, 2),
    (Story.node_flaps, 3),
    (Story.node_changes_zone, 2),
    (Story.ready_label_is_forged, 1),
    (Story.containers_run, 4),
    (Story.sandboxes_use_a_handler, 3),
    (Story.shim_created, 3),
    (Story.shim_deleted, 2),
    (Story.release_changed, 6),
    (Story.release_reverted, 3),
    (Story.selector_changed, 2),
    (Story.rollout_changed, 2),
    (Story.paused_or_resumed, 2),
    (Story.handler_changed, 1),
    (Story.options_changed, 1),
    (Story.class_edited_by_hand, 1),
    (Story.controller_dies, 2),
    (Story.controller_is_held, 3),
    (Story.watch_freezes, 2),
    (Story.history_is_gone, 2),
    (Story.clock_steps, 1),
    (Story.weather_changes, 3),
)
