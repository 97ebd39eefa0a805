"""The real API server keeps what controller and agent write, and shows it to people."""

from datetime import UTC, datetime

import msgspec
import pytest

from rcm_api import noderuntime, shim_status
from tests.api import manifests, objects
from tests.cluster import shim_api

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

AT = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def installed(shared_control_plane, tmp_path_factory):
    shim_api.install(shared_control_plane)
    return shim_api.Door(shared_control_plane, tmp_path_factory.mktemp("door"))


@pytest.fixture
def door(control_plane, installed):
    del control_plane
    return installed


def header(kind, body):
    """As JSON has it: lists, not tuples."""
    plain = msgspec.json.decode(msgspec.json.encode(body))
    return {"apiVersion": "runtime.spinkube.dev/v1alpha1", "kind": kind, **plain}


def create_node_runtime(door, found):
    body = header("NodeRuntime", found)
    made = door.create(body, kind="noderuntimes", dry_run=False)
    assert made.status == 201, made.message
    body["metadata"]["resourceVersion"] = made.body["metadata"]["resourceVersion"]
    return door.update(f"noderuntimes/{found.name}/status", body)


def create_shim(door, status, **spec):
    made = door.create(manifests.manifest(**spec), dry_run=False)
    assert made.status == 201, made.message
    body = {**made.body, "status": msgspec.to_builtins(status)}
    return door.update("shims/spin-v2/status", body)


def test_a_node_runtime_comes_back_as_it_was_written(door):
    wanted = objects.node_runtime(AT, shims=2)

    answer = create_node_runtime(door, wanted)

    found = msgspec.convert(answer.body, noderuntime.NodeRuntime)
    assert (answer.status, answer.warnings) == (200, ())
    assert found.spec == wanted.spec
    assert found.status == wanted.status


def test_an_empty_node_runtime_is_one(door):
    answer = create_node_runtime(
        door, noderuntime.NodeRuntime(metadata=noderuntime.Metadata(name="worker-1"))
    )

    assert answer.status == 200, answer.message


def test_a_status_cannot_be_written_through_the_object(door):
    wanted = objects.node_runtime(AT)
    body = header("NodeRuntime", wanted)

    made = door.create(body, kind="noderuntimes", dry_run=False)

    assert "status" not in made.body


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"phase": "Perhaps"}, "Unsupported value", id="unknown phase"),
        pytest.param({"message": "x" * 257}, "Too long", id="long message"),
        pytest.param({"time": "yesterday"}, "date-time", id="no time"),
        pytest.param({"size": -1}, "greater than or equal to 0", id="negative size"),
        pytest.param({"name": None}, "Required value", id="no name"),
    ],
)
def test_a_wrong_status_is_refused(change, says, door):
    body = header("NodeRuntime", objects.node_runtime(AT))
    made = door.create(body, kind="noderuntimes", dry_run=False)
    body["metadata"]["resourceVersion"] = made.body["metadata"]["resourceVersion"]
    body["status"]["shims"][0] |= change

    answer = door.update("noderuntimes/worker-1/status", body)

    assert answer.status in {400, 422}
    assert says in answer.message


def test_a_shim_is_named_once_per_node(door):
    body = header("NodeRuntime", objects.node_runtime(AT))
    body["spec"]["shims"] *= 2

    answer = door.create(body, kind="noderuntimes")

    assert answer.status == 422
    assert "Duplicate value" in answer.message


def test_a_shim_status_comes_back_as_it_was_written(door):
    wanted = objects.shim_status_full(AT)

    answer = create_shim(door, wanted)

    assert (answer.status, answer.warnings) == (200, ())
    assert msgspec.convert(answer.body["status"], shim_status.ShimStatus) == wanted


def test_an_empty_shim_status_is_one(door):
    assert create_shim(door, shim_status.ShimStatus()).status == 200


def test_kubectl_get_shims_tells_the_story(door):
    create_shim(door, objects.shim_status_full(AT), version="0.25.1")

    (row,) = door.table("shims")

    assert row.pop("Age")
    assert row == {
        "Name": "spin-v2",
        "Ready": 12,
        "Selected": 50,
        "Updating": 5,
        "Waiting": 1,
        "Failed": 2,
        "Version": "0.25.1",
        "Reason": "RollingOut",
    }


def test_a_wide_row_tells_more(door):
    create_shim(door, objects.shim_status_full(AT))

    (row,) = door.table("shims", wide=True)

    assert (
        row.items()
        >= {
            "Outdated": 27,
            "Unsupported": 3,
            "Draining": 1,
            "RuntimeClass": "wasmtime-spin-v2",
            "Handler": "spin-v2",
            "Message": "NodesNotReady: 12 of 50 nodes are ready",
        }.items()
    )


def test_kubectl_get_nr_tells_the_story(door):
    create_node_runtime(door, objects.node_runtime(AT, shims=2))

    (row,) = door.table("noderuntimes")

    assert row.pop("Age")
    assert row == {
        "Name": "worker-1",
        "State": "RolledBack",
        "Shims": "spin-v0=RolledBack,spin-v1=RolledBack",
        "containerd": "1.7.24",
        "Reason": "HandlerMissing",
    }


def test_short_names_and_category_work(door, control_plane):
    create_shim(door, shim_status.ShimStatus())
    create_node_runtime(door, objects.node_runtime(AT))

    assert "worker-1" in control_plane.kubectl("get", "nr")
    assert "spin-v2" in control_plane.kubectl("get", "shim")
    both = control_plane.kubectl("get", "rcm", "--output=name")
    assert both.split() == [
        "noderuntime.runtime.spinkube.dev/worker-1",
        "shim.runtime.spinkube.dev/spin-v2",
    ]


def test_an_object_with_two_failing_shims_fits_into_4_kb(door):
    answer = create_node_runtime(door, objects.node_runtime(AT, shims=2))

    assert len(msgspec.json.encode(answer.body)) <= 4096
