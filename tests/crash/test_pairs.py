"""Two misfortunes: a kill at every point, and another one, or a power cut, in the run after it."""

from __future__ import annotations

import random

import pytest

from tests.crash import scenes
from tests.fakes import explore

pytestmark = pytest.mark.timeout(180)
everywhere = pytest.mark.parametrize("scene", scenes.SCENES, indirect=True)
LONG_S = 300
RESTARTS = 5
"""Two commands, the second one in full, and undoing again after a kill while containerd starts."""
SEEDS = 4
"""States of the disk at one point, where there are more."""
SAMPLE = 3
SEED = 20261122
"""Of the sample; another one is a good idea when something here has changed."""


@everywhere
def test_a_second_kill_or_a_power_cut_in_the_recovery_ends_well(scene, points):
    seen = {point.print for point in points}
    found = []
    booted: set[bytes] = set()
    for point in points:
        for second in explore.points(point.host.fork(), scenes.recover, seen=seen):
            wrong = _ends(scene, second.host, booted)
            found += [f"{point.label}, then {second.label}: {text}" for text in wrong]

    assert found == []


@everywhere
def test_so_does_one_in_the_same_command_again(scene, points):
    """Before the journal names an operation there is nothing to recover: the command runs anew."""
    seen = {point.print for point in points}
    found = []
    booted: set[bytes] = set()
    for point in _sample([p for p in points if not scenes.pending(p.host)]):
        for second in explore.points(point.host.fork(), scene.again, seen=seen):
            wrong = _ends(scene, second.host, booted)
            found += [f"{point.label}, then {second.label}: {text}" for text in wrong]

    assert found == [], f"seed {SEED}"


def _ends(scene, host, booted: set[bytes]) -> list[str]:
    """Say what is wrong when nobody comes, when an agent comes, and when the power goes."""
    wrong = []
    for after in host.power_cuts(many=SEEDS):
        if explore.is_new(after, booted):
            wrong += [f"power cut: {text}" for text in scene.broken(after, booted=True)]
            wrong += [f"power cut, then: {text}" for text in scene.unfinished(after)]
    alone = host.fork()
    alone.pass_time(LONG_S)
    wrong += [f"alone: {text}" for text in scene.broken(alone)]
    return wrong + scene.unfinished(host) + scene.broken(host, restarts=RESTARTS)


def _sample(points: list[explore.Point]) -> list[explore.Point]:
    if len(points) <= SAMPLE:
        return points
    return random.Random(SEED).sample(points, SAMPLE)  # noqa: S311 - a test's dice
