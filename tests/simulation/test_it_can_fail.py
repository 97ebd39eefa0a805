"""The simulation notices what it is for: wrong planners, and a runtime that breaks its promises."""

from __future__ import annotations

import pytest

from rcm_controller import canaries, labels, policies, quota, waves
from rcm_controller.canaries import Stage
from tests.simulation import cache, life
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


def test_a_new_leader_that_has_not_seen_everything_is_noticed(monkeypatch):
    monkeypatch.setattr(cache.Cache, "hurry", lambda _self: None)

    assert broken(400)
