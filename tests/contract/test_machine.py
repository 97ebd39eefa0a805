"""What `ports.Machine` promises."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time

import pytest

from rcm_agent import errors, ports
from rcm_agent.host import machine as machines

pytestmark = pytest.mark.timeout(60)
"""The first test of all starts the node."""


@pytest.fixture
def machine(one_place):
    return one_place.host.machine


def test_a_boot_has_one_id(machine):
    assert machine.boot_id()
    assert machine.boot_id() == machine.boot_id()


def test_uptime_grows_while_waiting(machine):
    before = machine.uptime_s()
    machine.wait(0.05)

    assert 0.049 <= machine.uptime_s() - before < 5


def test_the_architecture_has_its_name_in_images(machine):
    assert machine.architecture() in {"amd64", "arm64"}


def test_containerd_is_among_the_processes(one_place):
    host = one_place.host
    pid = host.systemd.unit("containerd.service").main_pid
    found = {process.pid: process for process in host.machine.processes()}

    assert found[pid].exe == "/usr/bin/containerd"
    assert found[pid].argv == ("/usr/bin/containerd",)
    assert list(found) == sorted(found)


def test_containerd_has_a_parent_a_start_and_a_space(one_place):
    host = one_place.host
    unit = host.systemd.unit("containerd.service")
    found = {process.pid: process for process in host.machine.processes(also=[unit.main_pid])}
    containerd = found[unit.main_pid]

    assert containerd.parent == 1
    assert abs(containerd.started / 100 - unit.started_us / 1e6) < 1
    assert containerd.space.startswith("pid:[")


def test_ending_a_process_that_is_gone_is_fine(machine):
    machine.end([ports.Process(4_000_000, "", (), started=1)])


def sleeper(place, machine) -> ports.Process:
    done = place.node.exec(["sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!"])
    pid = int(done.stdout)
    return next(p for p in machine.processes(also=[pid]) if p.pid == pid)


def runs(place, process: ports.Process) -> bool:
    stat = place.node.exec(["sh", "-c", f"cat /proc/{process.pid}/stat || true"]).stdout
    return stat != "" and stat.rpartition(")")[2].split()[0] != "Z"


def await_end(place, process: ports.Process) -> None:
    deadline = time.monotonic() + 10
    while runs(place, process):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_processes_that_are_ended_are_gone(one_real):
    machine = one_real.host.machine
    doomed = [sleeper(one_real, machine), sleeper(one_real, machine)]
    machine.end(doomed)

    for process in doomed:
        await_end(one_real, process)


def test_a_pid_that_is_another_process_now_is_left_alone(one_real):
    machine = one_real.host.machine
    process = sleeper(one_real, machine)
    machine.end([dataclasses.replace(process, started=process.started - 1)])

    assert runs(one_real, process)
    machine.end([process])
    await_end(one_real, process)


@pytest.mark.parametrize("pid", [1, 0, -1])
def test_init_and_groups_are_never_ended(pid):
    with pytest.raises(ValueError, match="not a process"):
        machines.RealMachine().end([ports.Process(pid, "", (), started=1)])


def test_a_process_of_unknown_start_is_never_ended():
    with pytest.raises(ValueError, match="not a process"):
        machines.RealMachine().end([ports.Process(4_000_000, "", ())])


def test_kernel_threads_and_foreign_processes_have_no_exe(tmp_path):
    directory = tmp_path / "proc" / "12"
    directory.mkdir(parents=True)
    (directory / "cmdline").write_bytes(b"")
    (directory / "stat").write_bytes(b"12 (kworker/0:1 (x)) I 2 " + b"0 " * 17 + b"77 0\n")
    (tmp_path / "proc" / "self").mkdir()
    found = machines.RealMachine(str(tmp_path)).processes()

    assert found == (ports.Process(12, "", (), parent=2, started=77),)


def test_a_process_that_ends_while_we_look_is_left_out(tmp_path):
    (tmp_path / "proc" / "12").mkdir(parents=True)

    assert machines.RealMachine(str(tmp_path)).processes() == ()


def test_without_proc_there_is_an_error_with_advice(tmp_path):
    with pytest.raises(errors.HostError) as caught:
        machines.RealMachine(str(tmp_path)).processes()
    assert "/proc" in caught.value.advice


def test_a_root_without_proc_has_the_boot_id_of_this_kernel(tmp_path):
    assert machines.RealMachine(str(tmp_path)).boot_id() == machines.RealMachine().boot_id()


def test_a_stop_ends_every_wait():
    stop = threading.Event()
    machine = machines.RealMachine(stop=stop)
    stop.set()
    began = time.monotonic()
    machine.wait(60)

    assert time.monotonic() - began < 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_interrupts_and_the_next_are_ignored(number):
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        machines.interrupt_once()
        timer = threading.Timer(0.3, os.kill, [os.getpid(), number])
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            machines.RealMachine().wait(5)
        timer.join()

        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    finally:
        for known, handler in before.items():
            signal.signal(known, handler)
