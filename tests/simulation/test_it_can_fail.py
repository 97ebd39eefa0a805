"""The simulation notices what it is for: wrong planners, and a runtime that breaks its promises."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import msgspec
import pytest

from rcm_api.noderuntime import Wanted
from rcm_controller import actions, canaries, labels, policies, quota, removal, rollout, waves
from rcm_controller.courses import Stage
from tests.fakes import standin
from tests.simulation import cache, controller, directed, life
from tests.simulation.scene import Broken

pytestmark = pytest.mark.timeout(120)
SEEDS = 60
"""More lives than the rarest of them needed."""

WRONG = {
    "the budget is not looked at": (quota, "allowed", lambda _course: 1000),
    "failures do not stop a rollout": (waves, "stopped", lambda *_args: False),
    "canaries are skipped": (canaries, "stage", lambda *_args, **_more: Stage.PROVEN),
    "a label needs no proof": (labels, "is_ready", lambda *_args: True),
    "control planes change together": (policies, "_control_plane", lambda *_args: None),
}


def broken(seeds=SEEDS):
    for seed in range(seeds):
        try:
            life.live(seed)
        except Broken as found:
            return str(found).splitlines()[0]
    return ""


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_planner_is_noticed(name, monkeypatch):
    module, function, wrong = WRONG[name]
    monkeypatch.setattr(module, function, wrong)

    assert broken()


@pytest.mark.parametrize("wrong", [False, True], ids=["right", "wrong"])
def test_a_removal_before_the_label_is_off_is_noticed(wrong, monkeypatch):
    """A label that could not be taken off stays while its node is asked to clean up."""
    found = directed.cluster(1, 4)
    directed.apply(found, "a", 1, max_update=4)
    directed.pass_time(found, 20)
    if wrong:
        monkeypatch.setattr(removal, "labelled", lambda *_args: False)
        monkeypatch.setattr(rollout, "_removed_now", lambda *_args: ())
    monkeypatch.setattr(controller.Controller, "_badly", fail_to_label)
    found.controllers[0].faults.write = 1.0
    view = found.cluster.shims["a"]
    found.cluster.put("shims", "a", replace(view, deleting=found.cluster.time()))

    with pytest.raises(Broken) if wrong else contextlib.nullcontext():
        directed.pass_time(found, 5)


def fail_to_label(self, action):
    if not isinstance(action, actions.LabelNode):
        self._well(action)


def is_activation(action):
    update = isinstance(action, actions.UpdateNodeRuntime)
    return update and action.spec.shims[0].phase is Wanted.ACTIVE


def due():
    """Return a cluster whose nodes have fetched, and whose Shim is no longer paused."""
    found = directed.cluster(1, 4, labels={"zone": "a"})
    directed.fails(found, "a", 1, standin.Behaviour(apply_s=200))
    chosen = {"selector": {"zone": "a"}, "max_update": 1}
    directed.apply(found, "a", 1, paused=True, **chosen)
    directed.pass_time(found, 5)
    directed.apply(found, "a", 1, **chosen)
    return found


def out_of_sight(found, name):
    """Let a node be one that the Shim does not choose: its place seems to be free."""
    node = found.cluster.nodes[name]
    found.cluster.put("nodes", name, msgspec.structs.replace(node, labels={"zone": "b"}))


@pytest.mark.parametrize("wrong", [False, True], ids=["right", "wrong"])
def test_a_lost_reply_that_nobody_looks_after_is_noticed(wrong, monkeypatch):
    found, lost = due(), []

    def lose(self, action):
        if lost or not is_activation(action):
            self._well(action)
            return
        lost.append(action.node)
        self.freeze("runtimes")
        if wrong:
            self.judge.write(self, action)
        else:
            self._well(action, reply=False)
        out_of_sight(found, action.node)

    monkeypatch.setattr(controller.Controller, "_badly", lose)
    found.controllers[0].faults.write = 1.0

    with pytest.raises(Broken, match="allowed 1") if wrong else contextlib.nullcontext():
        directed.pass_time(found, 3)
    assert len(lost) == 1


@pytest.mark.parametrize("wrong", [False, True], ids=["right", "wrong"])
def test_a_new_leader_that_has_not_seen_everything_is_noticed(wrong, monkeypatch):
    found, dead = due(), []

    def die(self, action):
        self._well(action)
        if dead or not is_activation(action):
            return
        dead.append(self)
        self.life += 1
        self.renewed = float("-inf")
        (other,) = set(found.controllers) - {self}
        other.cache.lag["runtimes"] = controller.FREEZE_S
        out_of_sight(found, action.node)

    if wrong:
        monkeypatch.setattr(cache.Cache, "hurry", lambda _self: None)
    monkeypatch.setattr(controller.Controller, "_badly", die)
    found.controllers[0].faults.write = 1.0

    with pytest.raises(Broken, match="allowed 1") if wrong else contextlib.nullcontext():
        directed.pass_time(found, 3)
    assert len(dead) == 1


@pytest.mark.parametrize("wrong", [False, True], ids=["right", "wrong"])
def test_a_release_before_a_node_is_clean_that_is_known_by_its_object_is_noticed(
    wrong, monkeypatch
):
    """The new leader's watch of Nodes is silent since before the node joined."""
    found = directed.cluster(1, 1)
    directed.apply(found, "a", 1, max_update=2)
    directed.pass_time(found, 5)
    (leader,) = (replica for replica in found.controllers if replica.leads)
    (other,) = set(found.controllers) - {leader}
    other.cache.lag["nodes"] = controller.FREEZE_S
    found.fleet.join("n1", directed.FACTS, {}, supported=True)
    directed.pass_time(found, 0.5)
    leader.life += 1
    leader.renewed = float("-inf")
    if wrong:
        monkeypatch.setattr(removal, "unplaced", lambda *_args: iter(()))
    view = found.cluster.shims["a"]
    found.cluster.put("shims", "a", replace(view, deleting=found.cluster.time()))

    with pytest.raises(Broken, match="is released") if wrong else contextlib.nullcontext():
        directed.pass_time(found, 1)
        assert "a" in found.cluster.shims
        directed.pass_time(found, 5)
        assert not found.cluster.shims
        assert not found.cluster.runtimes
