"""What `ports.Machine` promises."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from rcm_agent import errors
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


def test_killing_a_process_that_is_gone_is_fine(machine):
    machine.kill(4_000_000)


def test_a_killed_process_is_gone(one_real):
    done = one_real.node.exec(["sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!"])
    pid = int(done.stdout)
    one_real.host.machine.kill(pid)
    time.sleep(0.1)

    state = one_real.node.exec(["sh", "-c", f"cat /proc/{pid}/stat || true"]).stdout
    assert state == "" or state.rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("pid", [1, 0, -1])
def test_init_and_groups_are_never_killed(pid):
    with pytest.raises(ValueError, match="not a process"):
        machines.RealMachine().kill(pid)


def test_kernel_threads_and_foreign_processes_have_no_exe(tmp_path):
    directory = tmp_path / "proc" / "12"
    directory.mkdir(parents=True)
    (directory / "cmdline").write_bytes(b"")
    (tmp_path / "proc" / "self").mkdir()
    found = machines.RealMachine(str(tmp_path)).processes()

    assert [(p.pid, p.exe, p.argv) for p in found] == [(12, "", ())]


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
