"""The power goes at every point, and each state of the disk that the rules allow is booted."""

from __future__ import annotations

import pytest

from tests.crash import scenes
from tests.fakes import explore

pytestmark = pytest.mark.timeout(120)
everywhere = pytest.mark.parametrize("scene", scenes.SCENES, indirect=True)
SEEDS = 4
"""States of the disk for each of the many points of a second run, where there are more."""


@everywhere
def test_a_power_cut_anywhere_boots_the_old_or_the_new_state(scene, points):
    found = []
    seen: set[bytes] = set()
    for point in points:
        for host in point.host.power_cuts():
            if explore.is_new(host, seen):
                wrong = scene.broken(host, alone=True) + scene.unfinished(host)
                found += [f"{point.label}: {text}" for text in wrong]

    assert found == []


@everywhere
def test_so_does_a_power_cut_while_recovering_from_another(scene, points):
    found = []
    booted: set[bytes] = set()
    seen: set[bytes] = set()
    for point in points:
        for cut in point.host.power_cuts():
            if not explore.is_new(cut, booted):
                continue
            for second in explore.points(cut, scenes.recover, seen=seen):
                for host in second.host.power_cuts(many=SEEDS):
                    if explore.is_new(host, booted):
                        wrong = scene.broken(host, alone=True)
                        found += [f"{point.label}, then {second.label}: {text}" for text in wrong]

    assert found == []
