"""The same simulation, driven by Hypothesis: what it breaks, it shrinks to a few turns."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.simulation import life
from tests.simulation.story import Story

pytestmark = pytest.mark.timeout(300)

NODE_EVENTS = (
    Story.node_joins,
    Story.node_leaves,
    Story.node_dies,
    Story.node_is_back,
    Story.agent_goes_away,
    Story.node_gets_another_uid,
    Story.node_flaps,
    Story.node_changes_zone,
    Story.ready_label_is_forged,
    Story.containers_run,
    Story.sandboxes_use_a_handler,
)
SHIM_EVENTS = (
    Story.shim_created,
    Story.shim_deleted,
    Story.release_changed,
    Story.release_reverted,
    Story.selector_changed,
    Story.rollout_changed,
    Story.paused_or_resumed,
    Story.handler_changed,
    Story.options_changed,
    Story.class_edited_by_hand,
)
FAULTS = (
    Story.controller_dies,
    Story.controller_is_held,
    Story.watch_freezes,
    Story.clock_steps,
    Story.weather_changes,
)


class Clusters(RuleBasedStateMachine):
    """Every step of a rule is judged; the teardown ends all faults and waits for silence."""

    @initialize(seed=st.integers(0, 2**16), nodes=st.integers(2, 8))
    def begin(self, seed, nodes):
        self.life = life.born(seed)
        self.life.story.begin(nodes)

    @rule(event=st.sampled_from(NODE_EVENTS))
    def something_befalls_a_node(self, event):
        event(self.life.story)

    @rule(event=st.sampled_from(SHIM_EVENTS))
    def somebody_edits_a_shim(self, event):
        event(self.life.story)

    @rule(event=st.sampled_from(FAULTS))
    def a_controller_or_the_api_fails(self, event):
        event(self.life.story)

    @rule(seconds=st.sampled_from((0.5, 2, 10, 40, 300)))
    def time_passes(self, seconds):
        self.life.scheduler.run(self.life.cluster.now + seconds)

    def teardown(self):
        if hasattr(self, "life"):
            life.settle(self.life)


Clusters.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestClusters = Clusters.TestCase
