"""What an agent does about other people's changes, an API server that is away, and its own death."""

from __future__ import annotations

import dataclasses
import functools

import pytest

from rcm_agent import errors, session, settings
from rcm_agent.cluster import loop, writer
from rcm_api.client import api, resources
from rcm_api.noderuntime import Phase, Wanted
from tests.agent_cluster.rig import CRASH, GOOD_1, GOOD_2, Rig, sha, wanted
from tests.crash import scenes
from tests.fakes import host as hosts
from tests.fakes import invariants
from tests.fakes.faults import Edit, Fail, Fault, Kill, Killed, Refuse

LINK = settings.link("spin")
DROP_IN = "/etc/containerd/rcm.d/rcm.toml"


def ready(**more):
    rig = Rig(**more)
    rig.ask(wanted())
    rig.until(Phase.READY)
    return rig


def original(version="2.3.4"):
    return scenes.CONFIGS[version]


# --- drift ---


def test_a_configuration_that_was_rendered_anew_is_mended():
    rig = ready()
    rig.host.edit(Edit(hosts.CONFIG, content=original()))
    rig.run(40)

    assert rig.status.drift_repairs == 1
    assert (rig.phase(), rig.status.restarts) == (Phase.READY, 1)
    rig.host.restart_containerd()
    rig.run(40)
    assert invariants.serves(rig.host).keys() == {"spin"}


def test_a_handler_that_an_update_took_away_comes_back():
    rig = ready()
    rig.host.edit(Edit(hosts.CONFIG, content=original()))
    rig.host.restart_containerd()
    assert invariants.serves(rig.host) == {}
    rig.run(40)

    assert invariants.serves(rig.host).keys() == {"spin"}
    assert (rig.status.drift_repairs, rig.status.restarts) == (1, 2)
    assert Phase.APPLYING in rig.phases()[3:]
    assert rig.shim().digest == wanted().digest


def test_a_damaged_binary_is_fetched_again():
    rig = ready()
    path = rig.host.disk.realpath(LINK)
    rig.host.edit(Edit(path))
    rig.run(40)

    assert rig.host.disk.get(LINK) == GOOD_1
    assert (rig.status.drift_repairs, rig.status.restarts) == (1, 1)
    assert rig.phase() is Phase.READY


def test_bytes_that_changed_under_the_same_size_are_found_within_ten_minutes():
    rig = ready()
    path = rig.host.disk.realpath(LINK)
    rig.host.edit(Edit(path, content=GOOD_1[:-2] + b"!\n"))
    rig.run(640)

    assert rig.host.disk.get(LINK) == GOOD_1
    assert rig.status.drift_repairs == 1


def test_somebody_elses_setting_is_kept_and_is_no_drift():
    rig = ready()
    rig.host.edit(Edit(hosts.CONFIG, append=b"\n[debug]\n  level = 'info'\n"))
    rig.run(40)
    effects = len(rig.host.effects)
    rig.run(300)

    assert rig.status.drift_repairs == 0
    assert len(rig.host.effects) == effects
    assert b"level = 'info'" in rig.host.disk.get(hosts.CONFIG)


def fight(rig, seconds):
    """Let somebody render the configuration again and again."""
    end = rig.host.clock.now + seconds
    while rig.host.clock.now < end:
        if rig.host.disk.get(hosts.CONFIG) != original():
            rig.host.edit(Edit(hosts.CONFIG, content=original()))
        rig.run(1)


def test_a_fight_ends_after_three_repairs_and_names_the_file():
    rig = ready()
    fight(rig, 300)
    conflict = rig.condition("Conflict")

    assert rig.status.drift_repairs == 3
    assert rig.status.state == "Conflict"
    assert (conflict.status, conflict.reason) == ("True", "Conflict")
    assert hosts.CONFIG in conflict.message
    assert rig.phase() is Phase.READY  # what is loaded works on
    rig.run(3600)
    assert rig.status.drift_repairs == 4
    rig.run(60)
    assert rig.condition("Conflict") is None


def test_a_changed_question_ends_the_truce():
    rig = ready()
    fight(rig, 300)
    rig.ask(wanted(), wanted(Wanted.PREFETCH, GOOD_2, name="two"))
    rig.run(60)

    assert rig.status.drift_repairs == 4
    assert rig.condition("Conflict") is None


def test_a_truce_outlives_the_agent():
    rig = ready()
    fight(rig, 300)
    rig.start()
    fight(rig, 300)

    assert rig.status.drift_repairs == 3
    assert rig.status.state == "Conflict"
    rig.run(3600)
    assert rig.status.drift_repairs == 4


# --- the host itself ---


def test_a_host_that_cannot_be_served_says_why():
    rig = Rig()

    def refuse():
        raise errors.UnsupportedHost("this is a k3s node", advice="not supported yet")

    rig.loop = loop.Loop(rig.means(open=refuse))
    rig.ask(wanted())
    rig.run(30)
    supported = rig.condition("Supported")

    assert rig.status.state == "Unsupported"
    assert (supported.status, supported.reason) == ("False", "UnsupportedHost")
    assert supported.message == "this is a k3s node; not supported yet"
    rig.loop = loop.Loop(rig.means())
    rig.until(Phase.READY)
    assert rig.condition("Supported").status == "True"


def test_a_dead_containerd_is_unhealthy_and_nothing_is_changed():
    rig = ready()
    rig.host.daemon.mood = "mute"
    rig.ask(wanted(data=GOOD_2))
    rig.run(20)

    assert rig.condition("Healthy").reason == "ContainerdDown"
    assert rig.shim().digest == wanted().digest
    rig.host.restart_containerd()
    rig.until(Phase.READY)
    assert rig.condition("Healthy").status == "True"


def test_a_full_disk_fails_one_fetch_and_heals():
    rig = Rig()
    rig.host.faults.append(Fault(Fail(28), on="kernel.write", path="*/store/*", nth=0))
    rig.ask(wanted())
    rig.until(Phase.FAILED)
    assert rig.shim().reason == "FetchFailed"
    rig.host.faults.clear()
    rig.ask(wanted(attempt=1))
    rig.until(Phase.READY)


def test_another_agent_at_work_is_waited_for():
    rig = Rig()
    other = rig.host.agent()
    handle = session.lock(other)
    rig.ask(wanted())
    rig.run(20)
    assert rig.status.shims == ()
    rig.run(120)
    assert rig.condition("Healthy").reason == "Busy"
    other.kernel.close(handle)
    rig.until(Phase.READY)
    assert rig.condition("Healthy").status == "True"


def test_a_host_that_cannot_be_put_back_is_degraded_and_recovers_later():
    rig = ready()
    rig.host.faults.append(Fault(Refuse("no"), on="containerd.run_sandbox", nth=0))
    broken = Fault(
        Fail(30), on="kernel.rename", path="*containerd-shim-spin-v1*", nth=2, stays=True
    )
    rig.host.faults.append(broken)
    rig.ask(wanted(data=GOOD_2))
    rig.until(Phase.FAILED)
    rig.run(40)

    assert rig.shim().reason == "Degraded"
    assert rig.condition("Healthy").status == "False"
    rig.host.faults.clear()
    rig.run(60)
    assert rig.condition("Healthy").status == "True"
    assert rig.host.disk.get(LINK) == GOOD_1


# --- the API server ---


def test_without_the_api_server_the_last_wish_is_worked_on_and_told_later():
    rig = Rig()
    rig.ask(wanted())
    rig.run(0)
    with rig.api_away():
        rig.run(300)
        assert invariants.serves(rig.host).keys() == {"spin"}
    rig.until(Phase.READY)
    assert rig.status.restarts == 1


def test_an_agent_that_starts_without_an_api_server_keeps_what_is_there():
    rig = ready()
    rig.start()
    rig.client._moves = None
    with rig.api_away():
        rig.run(600)

    assert rig.host.effects == []
    assert invariants.serves(rig.host).keys() == {"spin"}


def test_a_status_that_somebody_wiped_is_told_again():
    rig = ready()
    said = rig.status
    rig.user.patch(
        resources.NODERUNTIMES,
        "worker-1",
        api.Patch({"status": None}, subresource="status"),
        decode=api.ignore,
    )
    rig.run(120)

    assert rig.status == said


# --- death ---


@functools.cache
def story(name, version):
    """Return a rig that is about to do something, and what it will end in."""
    rig = Rig(version=version)
    if name == "install":
        rig.ask(wanted())
        return rig, {"spin": sha(GOOD_1)}, Phase.READY
    rig.ask(wanted())
    rig.until(Phase.READY)
    rig.host.pass_time(700)
    if name == "upgrade":
        rig.ask(wanted(data=GOOD_2))
        return rig, {"spin": sha(GOOD_2)}, Phase.READY
    if name == "failure":
        rig.ask(wanted(data=CRASH))
        return rig, {"spin": sha(GOOD_1)}, Phase.ROLLED_BACK
    rig.ask(wanted(Wanted.ABSENT, attempt=1))
    return rig, {}, Phase.ABSENT


@pytest.mark.parametrize("version", ["1.7.24", "2.3.4"])
@pytest.mark.parametrize("name", ["install", "upgrade", "failure", "remove"])
@pytest.mark.timeout(120)
def test_killed_anywhere_the_next_agent_gets_there(name, version):
    rig, goal, phase = story(name, version)
    before = invariants.look(rig.host)
    wrong = []
    for number in range(1, 200):
        here = again(rig)
        step = Fault(Kill(), on="kernel.rename", path="*journal.json*", nth=number, when="after")
        here.host.faults.append(step)
        try:
            here.run(60)
        except Killed:
            here.host.faults.clear()
            here.start()
        else:
            break
        here.run(700 if name == "failure" else 120)
        if invariants.serves(here.host) != goal or here.phase() != phase:
            wrong.append(f"{number}: {here.phase()} {here.shim()} {invariants.serves(here.host)}")
        wrong += [f"{number}: {text}" for text in invariants.leftovers(here.host)]
        lost = invariants.broken(here.host, before, good=[goal], verified=scenes.VERIFIED)
        wrong += [f"{number}: {text}" for text in lost]

    assert number > 5
    assert wrong == []


def again(rig):
    """Return another agent on copies of the host and of the object."""
    copy = Rig(rig.host.fork(), version=rig.host.version)
    found = rig.object()
    copy.ask(*found.spec.shims)
    copy.user.patch(
        resources.NODERUNTIMES,
        "worker-1",
        api.Patch(
            writer.body(found.status),
            subresource="status",
        ),
        decode=api.ignore,
    )
    return copy


def test_a_containerd_that_reads_another_file_after_an_update_is_found():
    rig = ready()
    first, where = rig.means().open()
    other = dataclasses.replace(where, config="/etc/other.toml", evidence="an update")
    seen = []

    def found():
        seen.append(other if len(rig.host.service.starts) > 2 else where)
        return first, seen[-1]

    rig.loop = loop.Loop(rig.means(open=found))
    rig.wake()
    rig.run(1)
    rig.host.restart_containerd()
    rig.run(40)

    assert seen[0] == where
    assert seen[-1] == other
