"""What `ports.Systemd` promises of the dead man's switch, on a real node and the simulated host."""

from __future__ import annotations

import dataclasses
import time

import pytest

from rcm_agent import records, switch
from rcm_agent.records import Step
from tests.agent import make

UNIT = "containerd.service"
SWITCH = "rcm-contract"
MARK = "/run/fired"
LINK = "/run/swapped"
LATER_S = 600
pytestmark = pytest.mark.timeout(60)


def touch(path: str = MARK) -> tuple[str, ...]:
    return ("/usr/bin/install", "-m", "0644", "/etc/os-release", path)


@pytest.fixture(autouse=True)
def clean(request):
    (name,) = {"one_place", "one_real", "place"} & set(request.fixturenames)
    found = request.getfixturevalue(name)
    yield
    found.host.systemd.disarm(SWITCH)
    found.remove(MARK)


def arm(place, *commands, delay_s: float) -> None:
    place.host.systemd.arm(SWITCH, delay_s=delay_s, commands=commands or [touch()])


def test_a_switch_that_is_taken_back_does_not_fire(one_place):
    arm(one_place, delay_s=3)

    assert one_place.host.systemd.disarm(SWITCH)
    one_place.pass_time(3.5)
    assert not one_place.exists(MARK)


def test_a_switch_that_never_was_does_not_wait(one_place):
    assert not one_place.host.systemd.disarm("rcm-never")


def test_a_switch_fires_although_its_creator_is_gone(one_place):
    arm(one_place, delay_s=3)
    one_place.kill_agent()
    assert not one_place.exists(MARK)

    assert one_place.await_file(MARK)


def test_a_switch_outlives_a_restart_of_containerd(place):
    place.host.systemd.reset_failed(UNIT)
    arm(place, delay_s=1)
    place.host.systemd.restart(UNIT, timeout_s=30)

    assert place.await_file(MARK)


def test_a_switch_that_has_fired_does_not_wait(one_place):
    arm(one_place, delay_s=0.3)

    assert one_place.await_file(MARK)
    assert not one_place.host.systemd.disarm(SWITCH)


def test_a_command_that_fails_does_not_stop_the_next(one_place):
    failing = ("/usr/bin/install", "-m", "0644", "/nosuch", "/run/nosuch")
    arm(one_place, failing, touch(), delay_s=0.3)

    assert one_place.await_file(MARK)


def test_a_link_is_swapped_back_in_one_step(one_place):
    kernel = one_place.host.kernel
    one_place.remove(LINK)
    kernel.symlink("/run/new", LINK)
    operation = dataclasses.replace(
        make.operation(before=(make.shim(),)),
        steps=(Step.ARM, Step.LINK),
        links=(records.LinkChange(path=LINK, before="/run/old", after="/run/new"),),
    )
    arm(one_place, *switch.commands(operation, kernel, unit=UNIT), touch(), delay_s=0.3)

    assert one_place.await_file(MARK)
    assert kernel.readlink(LINK) == "/run/old"
    assert kernel.lstat(f"{LINK}.rcm-tmp") is None
    one_place.remove(LINK)


def test_a_host_syncs_a_single_file(one_real):
    arm(one_real, ("/bin/sh", "-c", f"/bin/sync /etc/os-release && touch {MARK}"), delay_s=0.3)

    assert one_real.await_file(MARK)


def test_arming_again_replaces(one_place):
    arm(one_place, delay_s=3)
    arm(one_place, delay_s=LATER_S)
    one_place.pass_time(3.5)

    assert not one_place.exists(MARK)
    assert one_place.host.systemd.disarm(SWITCH)


def test_arming_again_after_it_fired_waits_anew(one_place):
    arm(one_place, delay_s=0.3)
    assert one_place.await_file(MARK)
    arm(one_place, delay_s=LATER_S)

    assert one_place.host.systemd.disarm(SWITCH)
    assert not one_place.host.systemd.disarm(SWITCH)


def test_switches_of_other_names_are_left_alone(one_place):
    arm(one_place, delay_s=LATER_S)

    assert not one_place.host.systemd.disarm("rcm")
    assert not one_place.host.systemd.disarm(f"{SWITCH}-2")
    assert one_place.host.systemd.disarm(SWITCH)


def test_a_switch_that_restarts_containerd_is_waited_for(place):
    place.host.systemd.reset_failed(UNIT)
    before = place.host.systemd.unit(UNIT)
    arm(place, touch(), ("/bin/systemctl", "restart", UNIT), delay_s=0.3)
    place.pass_time(0.35)

    assert not place.host.systemd.disarm(SWITCH)
    after = place.host.systemd.unit(UNIT)
    assert place.exists(MARK)
    assert after.active_state == "active"
    assert after.main_pid != before.main_pid


def test_taking_back_waits_for_commands_that_run(one_real):
    slow = ("/bin/sh", "-c", f"touch {MARK}.begun; sleep 4; touch {MARK}")
    arm(one_real, slow, delay_s=0.1)
    assert one_real.await_file(f"{MARK}.begun")
    one_real.remove(f"{MARK}.begun")

    assert not one_real.exists(MARK)
    assert not one_real.host.systemd.disarm(SWITCH)
    assert one_real.exists(MARK)


def test_a_race_with_the_timer_is_won_by_one_side(one_real):
    won = set()
    for number in range(30):
        one_real.remove(MARK)
        delay_s = 0.05 + number * 0.01
        arm(one_real, delay_s=delay_s)
        time.sleep(0.2)
        waited = one_real.host.systemd.disarm(SWITCH)

        assert waited != one_real.exists(MARK)
        won.add(waited)
    assert won == {True, False}


def test_a_reload_of_systemd_keeps_the_switch(one_real):
    arm(one_real, delay_s=8)
    one_real.node.systemctl("daemon-reload")
    one_real.node.systemctl("daemon-reexec")
    assert not one_real.exists(MARK)

    assert one_real.await_file(MARK)
    assert not one_real.host.systemd.disarm(SWITCH)


def test_nothing_of_a_switch_is_left(one_real):
    arm(one_real, delay_s=LATER_S)
    one_real.host.systemd.disarm(SWITCH)
    arm(one_real, delay_s=0.1)
    assert one_real.await_file(MARK)
    one_real.host.systemd.disarm(SWITCH)
    time.sleep(0.5)

    units = one_real.node.systemctl("list-units", "--all", f"{SWITCH}*").stdout
    assert SWITCH not in units
    assert SWITCH not in one_real.node.exec(["ls", "/run/systemd/transient"]).stdout
