"""The control plane starts whole, is wiped between tests, and leaves nothing behind."""

from __future__ import annotations

import json
import pathlib
import time

import pytest

from tests.testbed import controlplane, controlplane_fixtures, errors, kube

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]


@pytest.fixture(autouse=True)
def _built() -> None:
    controlplane_fixtures.need_kubernetes()


def test_everything_starts_and_nothing_is_left(tmp_path: pathlib.Path):
    options = controlplane.Options(controller_manager=True, scheduler=True)
    with controlplane.start(tmp_path, options) as plane:
        pids = [program.pid for program in plane.programs.values()]
        _await(lambda: plane.kubectl("get", "serviceaccount", "default", "--output=name"))
        said = json.loads(plane.kubectl("version", "--output=json"))

    assert len(pids) == 4
    assert said["serverVersion"]["gitVersion"] == f"v{kube.VERSION}"
    assert not any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids)


def _await(ask) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            ask()
        except errors.CommandError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return


def test_data_survives_the_servers_death(fresh_control_plane: controlplane.ControlPlane):
    plane = fresh_control_plane
    plane.kubectl("create", "namespace", "kept")
    plane.stop()
    plane.start()

    assert "kept" in plane.kubectl("get", "namespaces", "--output=name")


def test_a_node_may_not_give_itself_a_restricted_label(
    control_plane: controlplane.ControlPlane,
):
    """S3 of the goals; also shows that users of other groups can be had."""
    node = control_plane.user("system:node:worker", groups=("system:nodes",))
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker"}}
    control_plane.ask("POST", "/api/v1/nodes", body)
    label = "rcm.node-restriction.kubernetes.io/spin=ready"
    with pytest.raises(errors.CommandError, match="is not allowed to modify labels"):
        control_plane.kubectl("label", "node", "worker", label, f"--kubeconfig={node}")


def test_a_test_finds_nothing_of_the_one_before(control_plane: controlplane.ControlPlane):
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a", "finalizers": ["x.y/z"]}}
    control_plane.ask("POST", "/api/v1/nodes", body)
    controlplane_fixtures.wipe(control_plane)

    assert json.loads(control_plane.get("/api/v1/nodes"))["items"] == []


def test_a_program_that_ends_says_why(tmp_path: pathlib.Path):
    options = controlplane.Options(api_server_flags=("--no-such-flag",))
    started = controlplane.start(tmp_path, options)
    with pytest.raises(errors.NodeError, match="unknown flag: --no-such-flag"), started:
        pass
