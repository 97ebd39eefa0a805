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
from tests.contract import remote
from tests.testbed import nodes

pytestmark = pytest.mark.timeout(60)
"""The first test of all starts the node."""


@pytest.fixture
def machine(one_place):
    return one_place.host.machine


@pytest.fixture(params=["on the host", "in a pod"])
def real_machine(request, one_real):
    """Give the machine as an agent on the host has it, and as one in a pod."""
    if request.param == "on the host":
        yield one_real.host.machine
        return
    with remote.opened(one_real.node, remote.POD, socket=nodes.SOCKET) as agent:
        yield agent.host.machine


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


def test_processes_that_are_ended_are_gone(one_real, real_machine):
    doomed = [sleeper(one_real, real_machine), sleeper(one_real, real_machine)]
    real_machine.end(doomed)

    for process in doomed:
        await_end(one_real, process)


def test_a_pid_that_is_another_process_now_is_left_alone(one_real, real_machine):
    process = sleeper(one_real, real_machine)
    real_machine.end([dataclasses.replace(process, started=process.started - 1)])

    assert runs(one_real, process)
    real_machine.end([process])
    await_end(one_real, process)


def test_a_process_cannot_pose_as_another(one_real, real_machine):
    """Names and arguments are the process's own to choose, and may hold anything."""
    name, word = "1) S 1 (\n2 (x) S", "a b\n1 x"
    script = f"import time; open('/proc/self/comm', 'w').write({name!r}); time.sleep(1000)"
    argv = ["sh", "-c", 'python3 -c "$0" "$1" >/dev/null 2>&1 & echo $!', script, word]
    pid = int(one_real.node.exec(argv).stdout)
    try:
        comm = f"until grep -q S /proc/{pid}/comm; do :; done"
        one_real.node.exec(["sh", "-c", comm], timeout_s=10)
        (process,) = [p for p in real_machine.processes(also=[pid]) if p.pid == pid]

        assert process.argv == ("python3", "-c", script, word)
        assert process.started > 100
        assert process.exe.startswith("/usr/bin/python3")
    finally:
        one_real.node.exec(["kill", "-9", str(pid)])


def test_a_pod_is_told_of_ours_and_of_those_that_it_names(one_real):
    unit = one_real.host.systemd.unit("containerd.service")
    with remote.opened(one_real.node, remote.POD, socket=nodes.SOCKET) as agent:
        machine = agent.host.machine

        assert [p.pid for p in machine.processes(also=[unit.main_pid])] == [unit.main_pid]
        assert machine.processes() == ()
        assert machine.boot_id() == one_real.host.machine.boot_id()


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
