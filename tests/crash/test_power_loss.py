"""The power goes at every point, and each state of the disk that the rules allow is booted."""

from __future__ import annotations

import pytest

from tests.crash import scenes
from tests.fakes import explore
from tests.fakes.faults import Fault, Refuse

pytestmark = pytest.mark.timeout(120)
everywhere = pytest.mark.parametrize("scene", scenes.SCENES, indirect=True)
LONG_S = 300
SEEDS = 4
"""States of the disk for each of the many points of a second run, where there are more."""


@everywhere
def test_a_power_cut_anywhere_boots_the_old_or_the_new_state(scene, points):
    found = []
    seen: set[bytes] = set()
    for point in points:
        for host in point.host.power_cuts():
            if explore.is_new(host, seen):
                wrong = scene.broken(host, booted=True) + scene.unfinished(host)
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
                        wrong = scene.broken(host, booted=True)
                        found += [f"{point.label}, then {second.label}: {text}" for text in wrong]

    assert found == []


@everywhere
def test_so_does_a_power_cut_after_the_switch_fired(scene, points):
    """Also while an agent that came back tidies up: what the switch wrote must last by then."""
    found = []
    booted: set[bytes] = set()
    seen: set[bytes] = set()
    for point in points:
        fired = point.host.fork()
        fired.pass_time(LONG_S)
        if not fired.timers.fired or not explore.is_new(fired, seen):
            continue
        later = explore.points(fired.fork(), scenes.recover, seen=seen)
        for label, host in [("fired", fired), *((two.label, two.host) for two in later)]:
            for after in host.power_cuts(many=SEEDS):
                if explore.is_new(after, booted):
                    wrong = scene.broken(after, booted=True) + scene.unfinished(after)
                    found += [f"{point.label}, then {label}: {text}" for text in wrong]

    assert found == []


@pytest.mark.parametrize("version", scenes.CONFIGS)
def test_so_does_a_power_cut_when_the_proof_was_slower_than_the_switch(version):
    scene = scenes.get(scenes.upgrade, version)
    slow = scene.host.fork()
    slow.faults = [Fault(Refuse("slow", takes_s=LONG_S), on="containerd.run_sandbox")]
    found = []
    booted: set[bytes] = set()
    for point in explore.points(slow, scenes.refused(scenes.GOOD_2)):
        for host in point.host.power_cuts(many=SEEDS):
            if explore.is_new(host, booted):
                wrong = scene.broken(host, booted=True) + scene.unfinished(host)
                found += [f"{point.label}: {text}" for text in wrong]

    assert found == []
    assert slow.timers.fired
