"""What `ports.Systemd` promises of units and of programs, on real nodes and simulated ones."""

from __future__ import annotations

import time

import pytest

from rcm_agent import errors, ports

UNIT = "containerd.service"
CONFIG = "/etc/containerd/config.toml"
DUMP = ("/usr/bin/containerd", "--config", CONFIG, "config", "dump")
pytestmark = pytest.mark.timeout(60)

# --- units ---


def test_a_unit_has_its_process_and_program(place):
    found = place.host.systemd.unit(UNIT)

    assert (found.name, found.load_state, found.active_state) == (UNIT, "loaded", "active")
    assert found.argv == ("/usr/bin/containerd",)
    assert found.main_pid > 1
    assert found.started_us > 0


def test_a_unit_that_is_not_there_is_not_found(one_place):
    assert one_place.host.systemd.unit("nosuch.service") == ports.Unit(
        "nosuch.service", "not-found", "inactive", 0, 0, ()
    )


def test_asking_for_a_missing_unit_leaves_nothing_loaded(one_real):
    one_real.host.systemd.unit("nosuch.service")

    assert "nosuch" not in one_real.node.systemctl("list-units", "--all", "nosuch*").stdout


def test_a_unit_that_nobody_loaded_yet_is_read_from_its_file(one_real):
    found = one_real.host.systemd.unit("systemd-rfkill.service")

    assert found.argv == ("/lib/systemd/systemd-rfkill",)


def test_a_unit_without_a_process_has_none(one_real):
    found = one_real.host.systemd.unit("multi-user.target")

    assert (found.load_state, found.main_pid, found.argv) == ("loaded", 0, ())


def test_the_units_that_run_are_told(place):
    names = (UNIT, "k3s.service", "nosuch.service")

    assert place.host.systemd.active(names) == {UNIT}


def test_a_unit_that_does_not_run_is_not_active(one_real):
    assert one_real.host.systemd.active(("systemd-rfkill.service",)) == set()


def test_a_restart_makes_a_new_process(place):
    before = place.host.systemd.unit(UNIT)
    place.host.systemd.reset_failed(UNIT)
    place.host.systemd.restart(UNIT, timeout_s=30)
    after = place.host.systemd.unit(UNIT)

    assert after.active_state == "active"
    assert after.main_pid != before.main_pid
    assert after.started_us > before.started_us


def test_a_missing_unit_cannot_be_restarted(one_place):
    with pytest.raises(errors.UnitError, match="not found"):
        one_place.host.systemd.restart("nosuch.service", timeout_s=5)


def test_a_failed_restart_tells_what_containerd_said(place):
    good = place.read(CONFIG)
    place.host.systemd.reset_failed(UNIT)
    place.write(CONFIG, good + b"\n[broken\n")
    try:
        with pytest.raises(errors.UnitError) as caught:
            place.host.systemd.restart(UNIT, timeout_s=30)
    finally:
        place.write(CONFIG, good)
        place.host.systemd.reset_failed(UNIT)
        place.host.systemd.restart(UNIT, timeout_s=30)

    assert "job result 'failed'" in caught.value.cause
    assert "it said: containerd: " in caught.value.cause
    assert place.host.systemd.unit(UNIT).active_state == "active"


def restart_often(systemd) -> None:
    for _ in range(7):
        systemd.restart(UNIT, timeout_s=30)


def test_too_many_restarts_hit_the_limit_until_it_is_reset(one_place):
    systemd = one_place.host.systemd
    systemd.reset_failed(UNIT)
    try:
        with pytest.raises(errors.UnitError, match="job result 'failed'"):
            restart_often(systemd)
    finally:
        systemd.reset_failed(UNIT)
        systemd.restart(UNIT, timeout_s=30)

    assert systemd.unit(UNIT).active_state == "active"


def test_a_restart_that_hangs_is_an_error_in_time(one_real):
    unit = b"[Service]\nType=notify\nExecStart=/bin/sleep 1000\n"
    one_real.node.write("/run/systemd/system/stuck.service", unit)
    one_real.node.systemctl("daemon-reload")
    began = time.monotonic()
    try:
        with pytest.raises(errors.UnitError, match="not done after 1 s"):
            one_real.host.systemd.restart("stuck.service", timeout_s=1)
        took = time.monotonic() - began
    finally:
        # The node is shared: a unit that failed would leave it "degraded".
        one_real.node.systemctl("kill", "--signal=KILL", "stuck.service")
        one_real.node.systemctl("stop", "stuck.service")
        one_real.node.systemctl("reset-failed", "stuck.service", check=False)
        one_real.node.exec(["rm", "/run/systemd/system/stuck.service"])
        one_real.node.systemctl("daemon-reload")

    assert took < 5


def test_a_unit_that_is_not_there_has_no_failure_to_reset(one_place):
    one_place.host.systemd.reset_failed("nosuch.service")


# --- programs of the host ---


def test_a_program_runs_to_its_end(place):
    done = place.host.systemd.run(DUMP, timeout_s=10)

    assert done.exit_code == 0
    assert b"[plugins" in done.stdout


def test_programs_side_by_side_end_as_alone(place):
    alone = place.host.systemd.run(DUMP, timeout_s=10)

    assert place.host.systemd.run_all([DUMP, DUMP], timeout_s=10) == (alone, alone)


_MEANWHILE = """
import pathlib
from rcm_agent.host import systemd
go, gone = pathlib.Path("/run/go"), pathlib.Path("/run/gone")
waits = ["/bin/sh", "-c", "until [ -e /run/go ]; do sleep 0.01; done; sleep 0.2; echo > /run/gone"]
with systemd.RealSystemd().running([waits], timeout_s=9) as ended:
    assert not gone.exists()
    go.touch()
    assert ended()[0].exit_code == 0
gone.unlink()
with systemd.RealSystemd().running([waits], timeout_s=9):
    pass
assert gone.exists()
"""


def test_programs_run_meanwhile_and_are_waited_for_in_any_case(one_real):
    env = {"PYTHONPATH": "/srv/rcm:/srv/rcm-deps"}
    one_real.node.exec(["python3", "-c", _MEANWHILE], env=env)


def test_programs_run_side_by_side_and_answer_in_order(one_real):
    scripts = [f"sleep {1.5 - number / 2}; exit {number}" for number in range(3)]
    began = time.monotonic()
    programs = [["/bin/sh", "-c", script] for script in scripts]
    done = one_real.host.systemd.run_all(programs, timeout_s=10)

    assert [one.exit_code for one in done] == [0, 1, 2]
    assert time.monotonic() - began < 2.8  # one after the other: 3 s


_SLOW_SWEEP = """
import threading, time
from rcm_agent.host import systemd, transient
swept, run = threading.Event(), transient.run
def sweep(bus):
    time.sleep(0.5)
    swept.set()
def checked(*args, **kwargs):
    assert swept.is_set()
    return run(*args, **kwargs)
transient.drop_stale, transient.run = sweep, checked
done = systemd.RealSystemd().run_all([["/bin/true"], ["/bin/false"]], timeout_s=9)
assert [one.exit_code for one in done] == [0, 1]
"""


def test_what_killed_agents_left_is_dropped_before_anything_of_ours_starts(one_real):
    """A unit that is about to start looks as one that ended: it was stopped, once in 400 runs."""
    env = {"PYTHONPATH": "/srv/rcm:/srv/rcm-deps"}
    one_real.node.exec(["python3", "-c", _SLOW_SWEEP], env=env)


def test_both_outputs_and_the_exit_code_come_back(one_real):
    argv = ["/bin/sh", "-c", "echo out; echo err >&2; exit 7"]

    assert one_real.host.systemd.run(argv, timeout_s=10) == ports.Completed(7, b"out\n", b"err\n")


def test_a_signal_is_a_negative_exit_code(one_real):
    argv = ["/bin/sh", "-c", "kill -11 $$"]

    assert one_real.host.systemd.run(argv, timeout_s=10).exit_code == -11


def test_arguments_arrive_as_they_are(one_real):
    words = ["$HOME", "${HOME}", "$$", "%n", "a b", "", "'\"\\", "ü\n", "@x", "-y", ";"]
    done = one_real.host.systemd.run(["/usr/bin/printf", r"%s\0", *words], timeout_s=10)

    assert done.stdout.decode().split("\0")[:-1] == words


def test_the_path_is_the_one_asked_for(one_real):
    argv = ["sh", "-c", "echo $PATH"]
    done = one_real.host.systemd.run(argv, timeout_s=10, path="/bin:/opt/a b")

    assert done.stdout == b"/bin:/opt/a b\n"


def test_a_program_in_no_directory_is_looked_up(one_real):
    assert one_real.host.systemd.run(["true"], timeout_s=10).exit_code == 0
    assert one_real.host.systemd.run(["nosuch"], timeout_s=10).exit_code == 127


@pytest.mark.parametrize("content", [None, b"not a program", b"#!/nosuch/interpreter\n"])
def test_a_program_that_cannot_run_is_told_so(one_real, content):
    if content is not None:
        one_real.node.write("/run/program", content, mode=0o755)
    try:
        with pytest.raises(errors.UnitError, match="the host cannot run /run/program") as caught:
            one_real.host.systemd.run(["/run/program"], timeout_s=10)
    finally:
        one_real.remove("/run/program")

    assert caught.value.advice


def test_a_shim_that_is_not_there_is_told_so(one_place):
    with pytest.raises(errors.UnitError, match="the host cannot run /opt/rcm/bin/nosuch"):
        one_place.host.systemd.run(["/opt/rcm/bin/nosuch", "-v"], timeout_s=10)


def processes(place, word: str) -> list[tuple[str, ...]]:
    return [process.argv for process in place.host.machine.processes() if word in process.argv]


def test_a_program_that_hangs_is_ended_with_all_that_it_forked(one_real):
    script = "trap '' TERM; setsid sleep 4321 & sleep 4321"
    began = time.monotonic()
    with pytest.raises(errors.UnitError, match=r"not done after 0\.5 s and was killed"):
        one_real.host.systemd.run(["/bin/sh", "-c", script], timeout_s=0.5)

    assert time.monotonic() - began < 5
    assert processes(one_real, "4321") == []


def test_what_a_program_leaves_running_ends_with_it(one_real):
    script = "setsid sleep 4322 >/dev/null 2>&1 & echo started"
    done = one_real.host.systemd.run(["/bin/sh", "-c", script], timeout_s=5)

    assert done.stdout == b"started\n"
    assert processes(one_real, "4322") == []


def test_long_output_is_cut(one_real):
    argv = ["/usr/bin/head", "-c", "3000000", "/dev/zero"]

    assert len(one_real.host.systemd.run(argv, timeout_s=10).stdout) == 1 << 20


def test_endless_output_is_ended(one_real):
    done = one_real.host.systemd.run(["/usr/bin/yes"], timeout_s=20)

    assert done.exit_code == -25  # SIGXFSZ


def test_no_unit_and_no_file_is_left(one_real):
    before = everything(one_real)
    one_real.host.systemd.run(["/bin/true"], timeout_s=10)
    one_real.host.systemd.run(["/bin/false"], timeout_s=10)
    time.sleep(0.2)

    assert "rcm-run" not in one_real.node.systemctl("list-units", "--all", "rcm-run*").stdout
    assert everything(one_real) <= before


_LEAVE = """
import os, threading
from rcm_agent.host import systemd
threading.Timer(0.5, os._exit, [0]).start()
systemd.RealSystemd().run(["/bin/sh", "-c", "sleep 2"], timeout_s=30)
"""
_DROP = """
import sys
from rcm_agent.host import systemd, transient
transient._STALE_S = float(sys.argv[1])
systemd.RealSystemd().run(["/bin/true"], timeout_s=30)
"""


def test_what_a_killed_agent_left_is_dropped_once_it_is_stale(one_real):
    def run(*argv: str) -> None:
        env = {"PYTHONPATH": "/srv/rcm:/srv/rcm-deps"}
        one_real.node.exec(["python3", "-c", *argv], env=env)

    def left() -> str:
        return one_real.node.systemctl("list-units", "--all", "--no-legend", "rcm-run*").stdout

    run(_LEAVE)
    run(_DROP, "0")
    assert "activating" in left()
    time.sleep(3)
    run(_DROP, "60")
    assert "exited" in left()
    run(_DROP, "0.5")
    assert left() == ""


def everything(place) -> set[str]:
    paths = place.node.exec(["find", "/run", "/tmp", "/opt", "-not", "-path", "*/journal/*"]).stdout
    return set(paths.splitlines())
