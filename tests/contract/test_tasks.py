"""What `ports.Containerd` promises of running containers, on real nodes and simulated hosts."""

from __future__ import annotations

import os
import time

import pytest

from rcm_agent import errors, ports
from tests.contract import remote
from tests.fakes import daemon
from tests.fakes import host as fake
from tests.testbed import fixtures, image, nodes, shims
from tests.workloads import images, modules, pods

UNIT = "containerd.service"
PAUSE = "rcm.test/pause:1"
GUEST = "rcm.test/guest:1"
NAMESPACE = "rcm-contract"
SHIMS = "/opt/shims"
HANDLER = "wasmtime"
pytestmark = pytest.mark.timeout(90)


def containers(place) -> tuple[ports.Container, ...]:
    return place.host.containerd.containers(timeout_s=15)


def find(place, id_: str) -> ports.Container:
    (found,) = [container for container in containers(place) if container.id == id_]
    return found


def alive(place, pid: int) -> bool:
    return pid in {process.pid for process in place.host.machine.processes()}


@pytest.fixture
def outside(real):
    """Start a container that CRI does not know, in a namespace of its own; return its id."""
    ctr = ["ctr", f"--namespace={NAMESPACE}"]
    real.node.exec([*ctr, "images", "import", "/srv/pause.tar"])
    real.node.exec([*ctr, "run", "--detach", PAUSE, "outside"])
    yield "outside"
    real.node.exec([*ctr, "task", "kill", "--signal=SIGKILL", "outside"], check=False)
    real.node.exec([*ctr, "task", "delete", "--force", "outside"], check=False)
    real.node.exec([*ctr, "containers", "delete", "outside"], check=False)


# --- looking ---


def test_nothing_runs_at_first(place):
    assert containers(place) == ()


def test_a_container_of_another_namespace_is_seen(real, outside):
    found = find(real, outside)

    assert (found.namespace, found.name, found.sandbox) == (NAMESPACE, outside, "")
    assert found.survives_restart
    assert alive(real, found.pid)


def test_a_container_that_has_exited_is_not_running(real, outside):
    pid = find(real, outside).pid
    real.node.exec(["kill", "-9", str(pid)])
    await_gone(real, outside)


def await_gone(place, id_: str) -> None:
    deadline = time.monotonic() + 10
    while any(container.id == id_ for container in containers(place)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_frozen_container_still_runs(real, outside):
    real.node.exec(["ctr", f"--namespace={NAMESPACE}", "task", "pause", outside])
    try:
        assert find(real, outside).id == outside
    finally:
        real.node.exec(["ctr", f"--namespace={NAMESPACE}", "task", "resume", outside])


def test_pods_are_named_for_people(real):
    with pods.sandbox(real.node, "web", handler="runc") as pod:
        container = pod.run(PAUSE, name="main")
        found = {c.id: c for c in containers(real)}

        assert found[pod.id].name == "default/web"
        assert found[container].name == "default/web/main"
        assert {c.sandbox for c in found.values()} == {pod.id}
        assert {c.namespace for c in found.values()} == {"k8s.io"}
        assert all(c.survives_restart for c in found.values())


@pytest.mark.usefixtures("outside")
def test_what_survives_a_restart_survives_it(real):
    before = containers(real)
    assert [container.survives_restart for container in before] == [True]
    real.host.systemd.reset_failed(UNIT)
    real.host.systemd.restart(UNIT, timeout_s=30)

    assert containers(real) == before


def test_a_dead_daemon_has_no_answer(real):
    real.node.systemctl("stop", UNIT)
    try:
        with pytest.raises(errors.CriError) as caught:
            containers(real)
    finally:
        real.host.systemd.reset_failed(UNIT)
        real.host.systemd.restart(UNIT, timeout_s=30)

    assert caught.value.code == "UNAVAILABLE"


def test_ten_containers_are_asked_side_by_side(one_real):
    one_real.node.exec(["ctr", f"--namespace={NAMESPACE}", "images", "import", "/srv/pause.tar"])
    names = [f"many-{number}" for number in range(10)]
    try:
        for name in names:
            one_real.node.exec(["ctr", f"--namespace={NAMESPACE}", "run", "-d", PAUSE, name])
        began = time.monotonic()
        found = containers(one_real)

        assert [container.id for container in found] == names
        assert time.monotonic() - began < 2
    finally:
        for container in containers(one_real):
            one_real.host.containerd.stop(container, timeout_s=10)
        for name in names:
            argv = ["ctr", f"--namespace={NAMESPACE}", "containers", "delete", name]
            one_real.node.exec(argv, check=False)


# --- stopping ---


def test_a_container_outside_cri_is_stopped(real, outside):
    found = find(real, outside)
    real.host.containerd.stop(found, timeout_s=10)

    assert containers(real) == ()
    assert not alive(real, found.pid)


def test_a_stopped_container_may_be_stopped_again(real, outside):
    found = find(real, outside)
    real.host.containerd.stop(found, timeout_s=10)
    real.host.containerd.stop(found, timeout_s=10)


def test_a_container_outside_cri_that_ignores_sigterm_is_killed(one_real):
    ctr = ["ctr", f"--namespace={NAMESPACE}"]
    argv = ["/usr/bin/sh", "-c", "trap '' TERM; while :; do /usr/bin/sleep 1; done"]
    mount = "mkdir -p /run/stubborn && mount --bind / /run/stubborn"
    one_real.node.exec(["sh", "-c", mount])
    one_real.node.exec([*ctr, "run", "--detach", "--rootfs", "/run/stubborn", "stubborn", *argv])
    try:
        found = find(one_real, "stubborn")
        time.sleep(0.3)
        began = time.monotonic()
        one_real.host.containerd.stop(found, timeout_s=4)

        assert 1.9 < time.monotonic() - began < 4
        assert not alive(one_real, found.pid)
        assert containers(one_real) == ()
    finally:
        one_real.node.exec([*ctr, "containers", "delete", "stubborn"], check=False)
        one_real.node.exec(["umount", "/run/stubborn"], check=False)


def test_a_container_of_a_pod_is_stopped_with_its_pod(real):
    with pods.sandbox(real.node, "web", handler="runc") as pod:
        one, two = pod.run(PAUSE, name="one"), pod.run(PAUSE, name="two")
        found = {c.id: c for c in containers(real)}
        real.host.containerd.stop(found[one], timeout_s=12)

        assert {one, two, pod.id} == set(found)
        assert containers(real) == ()
        assert not any(alive(real, container.pid) for container in found.values())
        assert not pod.is_ready


def test_a_sandbox_itself_is_stopped(place):
    run = place.host.containerd.run_sandbox
    sandbox = run(handler="runc", name="contract", timeout_s=20)
    place.host.containerd.stop(find(place, sandbox), timeout_s=10)

    assert containers(place) == ()
    place.host.containerd.remove_sandbox(sandbox, timeout_s=10)


# --- shims that do not answer ---


@pytest.mark.parametrize(("version", "survives"), [("1.6.20", True), ("1.7.24", False)])
def test_the_fake_knows_whose_containers_a_restart_ends(version, survives):
    made = fake.FakeHost(version)
    made.daemon.add(daemon.Task("wasm", pids=False))
    (found,) = made.ports.containerd.containers(timeout_s=1)

    assert found.survives_restart is survives


@pytest.fixture(params=[pytest.param(v, marks=pytest.mark.node) for v in fixtures.NODE_VERSIONS])
def wasm_node(request, testbed):  # noqa: ARG001 - it may skip
    if not shims.is_built():
        reason = "the shim is not built yet: run `python -m tests.testbed build shims`"
        if os.environ.get("RCM_TESTBED") == "required":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    version = request.param
    old = version.startswith("1.")
    plugin = "io.containerd.grpc.v1.cri" if old else "io.containerd.cri.v1.runtime"
    tables = "".join(
        f'[plugins."{plugin}".containerd.runtimes.{handler}]\n'
        f'runtime_type = "{SHIMS}/{variant}/{shims.BINARY}"\n'
        for handler, variant in (("answers", "v0.1.0"), ("silent", "v0.1.0-nopids"))
    )
    config = image.default_config(version) + b"\n" + tables.encode()
    with nodes.start(containerd=version, config=config, mounts={shims.build(): SHIMS}) as node:
        node.import_image(images.image(GUEST, modules.say_and_stay("here\n")))
        yield node


def test_only_a_shim_that_lists_its_processes_keeps_them(wasm_node):
    old = wasm_node.containerd == "1.6"
    with (
        remote.opened(wasm_node) as agent,
        pods.sandbox(wasm_node, "good", handler="answers") as good,
        pods.sandbox(wasm_node, "bad", handler="silent") as bad,
    ):
        good_one, bad_one = good.run(GUEST), bad.run(GUEST)
        told = {c.id: c.survives_restart for c in containers(agent)}
        expected = {good.id: True, good_one: True, bad.id: old, bad_one: old}
        assert told == expected

        lost = [c for c in containers(agent) if not c.survives_restart]
        for container in lost:
            agent.host.containerd.stop(container, timeout_s=15)
        agent.host.systemd.restart(UNIT, timeout_s=30)

        assert {c.id for c in containers(agent)} == {id_ for id_, kept in expected.items() if kept}
        assert not any(alive(agent, container.pid) for container in lost)
