"""The simulated service manager and containerd behave as the real ones were seen to."""

from __future__ import annotations

import pytest

from rcm_agent import errors
from tests.fakes import explore, faults, invariants, schema, shims
from tests.fakes.daemon import Quirk, Task
from tests.fakes.host import CONFIG, UNIT, FakeHost

STORE = "/opt/rcm/store/sha256/aa/shim"
LINK = "/opt/rcm/bin/containerd-shim-wasmtime-v1"
TABLES = {"1.7.24": schema.OLD, "2.3.4": schema.RUNTIME}
versions = pytest.mark.parametrize("version", TABLES)


def ours(version: str, options: str = "") -> bytes:
    table = f'plugins."{TABLES[version]}".containerd.runtimes'
    runc = f'[{table}.runc]\nruntime_type = "io.containerd.runc.v2"\n' if version < "2" else ""
    return f"""version = {2 if version < "2" else 3}
{runc}[{table}.wasmtime]
runtime_type = "{LINK}"
{options}
""".encode()


def with_shim(version: str, binary: bytes, **more) -> FakeHost:
    host = FakeHost(version, config=ours(version), **more)
    host.disk.put(STORE, binary, mode=0o755)
    host.disk.link(STORE, LINK)
    host.disk.settle()
    return host


@versions
def test_a_sandbox_runs_what_the_link_points_to(version):
    host = with_shim(version, shims.binary())
    cri = host.ports.containerd
    sandbox = cri.run_sandbox(handler="wasmtime", name="proof", timeout_s=5)

    assert [c.sandbox for c in cri.containers(timeout_s=1)] == [sandbox]
    assert host.programs.executed[0][0] == LINK
    cri.remove_sandbox(sandbox, timeout_s=5)
    assert cri.sandboxes(timeout_s=1) == ()


@pytest.mark.parametrize(
    ("binary", "code"),
    [
        pytest.param(shims.binary("BAD"), "UNKNOWN", id="exits"),
        pytest.param(shims.binary("HANG"), "DEADLINE_EXCEEDED", id="hangs"),
        pytest.param(shims.binary()[:70], "UNKNOWN", id="torn"),
        pytest.param(shims.binary(architecture="arm64"), "UNKNOWN", id="other machine"),
    ],
)
def test_a_bad_shim_starts_no_sandbox(binary, code):
    host = with_shim("2.3.4", binary)

    with pytest.raises(errors.CriError) as caught:
        host.ports.containerd.run_sandbox(handler="wasmtime", name="x", timeout_s=5)
    assert caught.value.code == code


def test_an_unknown_handler_starts_no_sandbox():
    with pytest.raises(errors.CriError, match="no runtime"):
        FakeHost().ports.containerd.run_sandbox(handler="wasmtime", name="x", timeout_s=5)


@versions
def test_a_restart_keeps_containers_whose_shim_answers(version):
    tasks = (Task("runc"), Task("wasm", shim="/bin/wasm", pids=False), Task("gone", shim="/gone"))
    host = FakeHost(version, tasks=())
    host.disk.put("/bin/wasm", b"")
    for task in tasks:
        host.daemon.add(task)
    before = invariants.look(host)
    host.ports.systemd.restart(UNIT, timeout_s=5)

    assert set(host.daemon.tasks) == {"runc"}
    assert len(host.daemon.leaked) == 2
    assert len(invariants.broken(host, before, good=[{}], verified=())) == 2


def test_containerd_1_6_keeps_them_all():
    host = FakeHost("1.6.20", tasks=(Task("wasm", pids=False),))
    host.ports.systemd.restart(UNIT, timeout_s=5)

    assert set(host.daemon.tasks) == {"wasm"}


def test_five_starts_in_ten_seconds_hit_the_limit_until_reset():
    host = FakeHost()
    systemd = host.ports.systemd
    for _ in range(5):
        systemd.restart(UNIT, timeout_s=5)
    with pytest.raises(errors.UnitError, match="too quickly"):
        systemd.restart(UNIT, timeout_s=5)
    assert systemd.unit(UNIT).active_state == "failed"
    systemd.reset_failed(UNIT)
    systemd.restart(UNIT, timeout_s=5)

    assert systemd.unit(UNIT).active_state == "active"


def test_a_broken_configuration_is_tried_for_ever():
    host = FakeHost()
    host.edit(faults.Edit(CONFIG, append=b"="))
    systemd = host.ports.systemd
    with pytest.raises(errors.UnitError, match="failed to load TOML"):
        systemd.restart(UNIT, timeout_s=5)
    assert systemd.unit(UNIT).active_state == "activating"
    host.edit(faults.Edit(CONFIG, content=b"version = 2\n"))
    host.pass_time(6)

    assert systemd.unit(UNIT).active_state == "active"
    assert host.service.starts[-1].cause == "auto"


@pytest.mark.parametrize(
    ("what", "healthy"), [("hang", False), ("slow", True), ("exit", False), ("cri-dead", False)]
)
def test_a_daemon_misbehaves_with_our_runtime_only(what, healthy):
    host = FakeHost("2.3.4")
    host.daemon.quirks.append(Quirk(what, seconds=20))
    before = invariants.look(host)
    host.restart_containerd()
    assert not invariants.broken(host, before, good=[{}], verified=())
    host.edit(faults.Edit(CONFIG, content=ours("2.3.4")))
    host.service.restart("agent")
    host.pass_time(30)

    found = invariants.broken(host, before, good=[{"wasmtime": ""}], verified=())
    assert bool(found) != healthy


def test_the_switch_fires_unless_taken_back():
    host = FakeHost("2.3.4")
    host.edit(faults.Edit("/run/rcm/trial.toml", content=b"x"))
    commands = [["rm", "-f", "/run/rcm/trial.toml"], ["systemctl", "restart", UNIT]]
    host.ports.systemd.arm("rcm-switch", delay_s=60, commands=commands)
    assert host.ports.systemd.disarm("rcm-switch")
    host.pass_time(100)
    assert host.disk.get("/run/rcm/trial.toml") == b"x"
    host.ports.systemd.arm("rcm-switch", delay_s=60, commands=commands)
    host.kill()
    host.pass_time(100)

    assert host.disk.get("/run/rcm/trial.toml") is None
    assert host.service.starts[-1].cause == "switch"
    assert not host.ports.systemd.disarm("rcm-switch")


def test_a_restart_goes_on_when_the_agent_dies_while_waiting():
    host = FakeHost()
    host.faults = [faults.Fault(faults.Kill(), on="systemd.restart", when="during")]
    with pytest.raises(faults.Killed):
        host.ports.systemd.restart(UNIT, timeout_s=5)
    host.kill()

    assert host.ports.systemd.unit(UNIT).active_state == "activating"
    host.pass_time(1)
    assert host.ports.systemd.unit(UNIT).active_state == "active"


def test_what_the_host_does_not_know_fails_the_test():
    host = FakeHost()
    with pytest.raises(faults.UnexpectedCall):
        host.ports.systemd.run(["/bin/sh", "-c", "true"], timeout_s=1)
    host.ports.systemd.arm("x", delay_s=1, commands=[["/bin/sh", "-c", "true"]])
    with pytest.raises(faults.UnexpectedCall):
        host.pass_time(2)


def test_a_file_still_open_for_writing_cannot_be_executed():
    host = with_shim("2.3.4", shims.binary())
    handle = host.ports.kernel.append(STORE)
    with pytest.raises(errors.UnitError):
        host.ports.systemd.run([LINK, "-v"], timeout_s=1)
    host.ports.kernel.close(handle)

    assert b"Version: v1" in host.ports.systemd.run([LINK, "-v"], timeout_s=1).stdout


def test_a_power_cut_boots_what_is_on_disk():
    host = FakeHost("2.3.4", tasks=(Task("runc"),))
    before = invariants.look(host)
    host.disk.put(CONFIG, ours("2.3.4"))
    verdicts = {
        tuple(sorted(invariants.ours(cut, cut.daemon.loaded))) for cut in host.power_cuts()
        if cut.daemon.loaded is not None
    }  # fmt: skip

    assert verdicts == {(), ("wasmtime",)}
    assert not invariants.broken(host.power_cut(), before, good=[{}], verified=())
    assert host.power_cut().ports.machine.boot_id() != host.ports.machine.boot_id()


def test_every_point_is_visited_once():
    def agent(ports):
        handle = ports.kernel.create("/etc/x", 0o600)
        ports.kernel.write(handle, b"12")
        ports.kernel.fsync(handle)
        ports.kernel.close(handle)
        ports.systemd.restart(UNIT, timeout_s=5)

    found = explore.points(FakeHost(), agent)

    assert [point.label for point in found] == [
        "after 1 kernel.create /etc/x",
        "during 2 kernel.write /etc/x",
        "after 2 kernel.write /etc/x",
        "after 3 kernel.fsync /etc/x",
        "during 4 systemd.restart containerd.service",
        "after 4 systemd.restart containerd.service",
    ]
    assert found[0].host.disk.get("/etc/x") == b""
    assert found[4].host.service.state == "activating"
