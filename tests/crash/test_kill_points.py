"""Kill -9 at every point of every command; then a new agent comes, or none at all."""

from __future__ import annotations

import pytest

from rcm_agent import settings
from tests.crash import scenes
from tests.fakes import daemon, invariants
from tests.fakes.faults import Fault, Kill, Killed

pytestmark = pytest.mark.timeout(120)
everywhere = pytest.mark.parametrize("scene", scenes.SCENES, indirect=True)
AWAY_S = (0, 30, 300)
"""How long nobody comes: the switch waits, the switch waits, the switch has fired."""
LONG_S = 300
ONE_KILL_RESTARTS = 3
"""The trial, its undoing, and its undoing again when the agent dies while containerd starts."""


@everywhere
def test_left_alone_a_command_reaches_its_goal(scene):
    host = scene.host.fork()
    scene.act(host.ports)
    host.kill()

    assert scene.broken(host, restarts=scene.restarts) == []
    assert invariants.serves(host) == scene.goal
    assert invariants.leftovers(host) == []


@pytest.mark.parametrize("version", scenes.CONFIGS)
def test_nothing_to_do_means_no_effect(version):
    host = scenes.installed(version).fork()
    scenes.install(scenes.GOOD_1)(host.ports)

    assert host.effects == []


@pytest.mark.parametrize("version", scenes.CONFIGS)
def test_removal_gives_back_every_byte(version):
    host = scenes.installed(version).fork()
    scenes.uninstall(host.ports)
    before = {path: inode.data for path, inode in scenes.bare(version).disk.tree("/etc")}

    assert {path: inode.data for path, inode in host.disk.tree("/etc")} == before
    assert [path for path, _ in host.disk.tree("/opt")] in (["/opt"], ["/opt", "/opt/rcm"])


@everywhere
def test_after_a_kill_anywhere_recovery_reaches_a_good_state(scene, points):
    found = []
    for point in points:
        for away_s in AWAY_S:
            host = point.host.fork()
            host.pass_time(away_s)
            wrong = scene.unfinished(host) + scene.broken(host, restarts=ONE_KILL_RESTARTS)
            found += [f"{point.label}, {away_s} s later: {text}" for text in wrong]

    assert found == []


@everywhere
def test_after_a_kill_anywhere_the_same_command_reaches_its_goal(scene, points):
    found = []
    for point in points:
        host = point.host.fork()
        scene.again(host.ports)
        host.kill()
        wrong = scene.broken(host) + invariants.leftovers(host)
        if invariants.serves(host) != scene.goal:
            wrong.append("the goal is not reached")
        found += [f"{point.label}: {text}" for text in wrong]

    assert found == []


@pytest.mark.parametrize("version", scenes.CONFIGS)
def test_a_pod_that_came_up_on_an_unproven_version_lives_on(version):
    """The switch takes the link back, a later agent the store entry; the pod is somebody's."""
    host = scenes.installed(version).fork()
    host.faults = [Fault(Kill(), on="containerd.run_sandbox")]
    with pytest.raises(Killed):
        scenes.install(scenes.GOOD_2)(host.ports)
    host.kill()
    host.faults = []
    link = settings.link(scenes.HANDLER)
    new = host.disk.realpath(link)
    pod = daemon.Task("pod", name="default/wasm/new", sandbox="pod", shim=link, exe=new)
    host.daemon.add(pod)
    host.pass_time(LONG_S)
    scenes.recover(host.ports)

    assert host.timers.fired
    assert host.disk.realpath(link) != new
    assert "pod" in host.daemon.tasks
    assert host.daemon.lost == []
    assert scenes.get(scenes.upgrade, version).broken(host) == []


@everywhere
def test_a_host_without_an_agent_heals_itself(scene, points):
    found = []
    for point in points:
        host = point.host.fork()
        host.pass_time(LONG_S)
        wrong = scene.broken(host, restarts=ONE_KILL_RESTARTS)
        found += [f"{point.label}: {text}" for text in wrong]

    assert found == []
