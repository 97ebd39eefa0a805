"""Single turns of a rollout, under every seed: what the issue's numbers say in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from rcm_api import noderuntime, shim_status
from rcm_api.noderuntime import Phase
from rcm_controller import quota
from tests.fakes import standin
from tests.simulation import fleet, life, oracle
from tests.simulation.directed import apply, cluster, fails, pass_time, releases

pytestmark = pytest.mark.timeout(60)
SEEDS = range(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_shims_that_change_at_once_cost_one_restart_per_node(seed):
    found = cluster(seed, 6)
    for name in ("a", "b", "c"):
        apply(found, name, 1, max_update=2)
    pass_time(found, 20)

    assert all(set(releases(found, name)[1]) == {Phase.READY} for name in ("a", "b", "c"))
    assert {m.state.restarts for m in found.fleet.machines.values()} == {1}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_release_that_always_fails_leaves_all_on_the_former_one(seed):
    kinds = ("1.7.24", "2.0.4", "2.1.1")
    found = cluster(
        seed, 30, facts=lambda index: noderuntime.Facts(
            os="linux", arch="amd64", distribution="debian", containerd=kinds[index % 3]
        )
    )  # fmt: skip
    apply(found, "a", 1, max_update="50%")
    pass_time(found, 30)
    former = releases(found, "a")[0]
    fails(found, "a", 2, standin.Behaviour(fails=1))
    apply(found, "a", 2, max_update="50%")
    pass_time(found, 60)
    tried = [m.state.name for m in found.fleet.machines.values() if m.state.rollbacks]

    assert releases(found, "a")[0] == former
    assert len(tried) <= len(kinds)
    assert all(oracle.labelled(node, "a") for node in found.cluster.nodes.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_release_that_fails_on_some_nodes_stops_early(seed):
    found = cluster(seed, 60)
    fails(found, "a", 1, standin.Behaviour(fails=0.3))
    apply(found, "a", 1, max_update="10%")
    pass_time(found, 60)
    failed = sum(phase is Phase.ROLLED_BACK for phase in releases(found, "a")[1])
    in_flight = 6

    assert failed <= max(2, 60 * 2 // 100) - 1 + in_flight
    assert Phase.FETCHED in releases(found, "a")[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_deletion_with_dead_nodes_ends_and_they_clean_themselves(seed):
    found = cluster(seed, 20)
    apply(found, "a", 1, max_update="20%")
    pass_time(found, 20)
    for name in ("n3", "n7"):
        found.fleet.die(name)
    view = found.cluster.shims["a"]
    found.cluster.put("shims", "a", replace(view, deleting=found.cluster.time()))
    pass_time(found, 17)

    assert "a" not in found.cluster.shims
    assert sum(bool(digest) for digest in releases(found, "a")[0]) == 2
    for name in ("n3", "n7"):
        found.fleet.revive(name)
    pass_time(found, 2)
    assert not any(releases(found, "a")[0])
    assert not found.cluster.runtimes


@pytest.mark.parametrize("seed", SEEDS)
def test_lost_objects_are_made_again_without_a_restart(seed):
    found = cluster(seed, 8)
    apply(found, "a", 1, max_update="50%")
    pass_time(found, 20)
    for name in list(found.cluster.runtimes):
        found.cluster.drop("runtimes", name)
    view = found.cluster.shims["a"]
    found.cluster.put("shims", "a", replace(view, status=shim_status.ShimStatus()))
    found.controllers[0].kill()
    found.controllers[1].kill()
    pass_time(found, 20)

    assert set(releases(found, "a")[1]) == {Phase.READY}
    assert {m.state.restarts for m in found.fleet.machines.values()} == {1}


@pytest.mark.parametrize("ahead_s", fleet.NODE_SKEWS_S[2:])
def test_silence_is_not_the_pause_before_another_try(ahead_s):
    """A download that never succeeds pauses longest, and longer where the clock is ahead."""
    found = cluster(1, 1)
    machine = found.fleet.machines["n0"]
    machine.state = msgspec.structs.replace(machine.state, skew=timedelta(seconds=ahead_s))
    fails(found, "a", 1, standin.Behaviour(fetch_fails=True))
    apply(found, "a", 1)
    last = quota.FETCH_ATTEMPTS - 1
    while tries(found) != last - 1:
        pass_time(found, 0.5)
    life.rest(found)

    assert tries(found) == last


def tries(found):
    """Return how often the first node's agent was told to try again."""
    runtime = found.cluster.runtimes.get("n0")
    return 0 if runtime is None else runtime.wanted("a").attempt


def test_an_agent_that_hangs_keeps_no_other_node_from_the_older_shim():
    """The younger Shim lost its handler; one node has not answered it for longer than allowed."""
    found = cluster(1, 2)
    apply(found, "a", 1, max_update=2)
    apply(found, "b", 1, max_update=2)
    pass_time(found, 5)
    apply(found, "b", 2, paused=True)
    pass_time(found, 1)
    found.fleet.machines["n1"].mute = True
    apply(found, "b", 2, max_update=2, canary_nodes=2)
    pass_time(found, 1)
    apply(found, "b", 2, max_update=1)
    apply(found, "a", 1, handler="b")
    pass_time(found, 15)

    assert not found.fleet.machines["n0"].state.entries.get("b")
