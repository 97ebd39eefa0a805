"""The API server warns about what is legal and unwise, as `rcm-agent apply` does."""

import time

import pytest

from rcm_api import shim as shims
from tests.api import manifests
from tests.cluster import shim_api

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

POLICY = shim_api.ROOT / "manifests" / "policy" / "shim-warnings.yaml"
PREFIX = (
    "Validation failed for ValidatingAdmissionPolicy 'rcm-shim-warnings' with binding"
    " 'rcm-shim-warnings': "
)

ROWS = [
    pytest.param(manifests.manifest(), (), id="nothing to say"),
    pytest.param(manifests.UPSTREAM, (), id="upstream"),
    pytest.param(manifests.platform(sha256=...), (shims.NO_DIGEST,), id="no sha256"),
    pytest.param(manifests.platform(sha256=None), (shims.NO_DIGEST,), id="sha256 null"),
    pytest.param(
        manifests.platforms(manifests.entry(), manifests.entry(arch="arm64", sha256=...)),
        (shims.NO_DIGEST,),
        id="one of two without sha256",
    ),
    pytest.param(manifests.legacy("https://example.com/shim"), (shims.NO_DIGEST,), id="anonHttp"),
    pytest.param(manifests.platform(location="http://e.com/x"), (shims.HTTP,), id="http"),
    pytest.param(manifests.rollout(type="recreate"), (shims.RECREATE,), id="recreate"),
    pytest.param(manifests.rollout(type="rolling"), (), id="rolling"),
    pytest.param(
        manifests.manifest(
            fetchStrategy={
                "platforms": [manifests.entry(location="http://e.com/x")],
                "anonHttp": {"location": "https://e.com/x"},
            },
            rolloutStrategy={"type": "recreate"},
        ),
        (shims.NO_DIGEST, shims.HTTP, shims.RECREATE),
        id="all three",
    ),
]


@pytest.fixture(scope="module")
def installed(shared_control_plane, tmp_path_factory):
    shim_api.install(shared_control_plane)
    door = shim_api.Door(shared_control_plane, tmp_path_factory.mktemp("door"))
    shared_control_plane.kubectl("apply", f"--filename={POLICY}")
    # A policy acts one or two seconds after it was created.
    deadline = time.monotonic() + 30
    while not door.create(manifests.rollout(type="recreate")).warnings:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield door
    shared_control_plane.kubectl("delete", f"--filename={POLICY}")


@pytest.fixture
def door(control_plane, installed):
    del control_plane
    return installed


@pytest.mark.parametrize(("document", "expected"), ROWS)
def test_the_api_server_and_the_command_line_warn_alike(document, expected, door):
    answer = door.create(document)

    assert answer.status == 201
    assert sorted(answer.warnings) == sorted(PREFIX + text for text in expected)
    assert shims.warnings(shims.parse(document)) == expected


def test_a_label_brings_no_advice(door):
    made = door.create(manifests.rollout(type="recreate"), dry_run=False)
    made.body["metadata"]["labels"] = {"a": "b"}

    answer = door.update("shims/spin-v2", made.body)

    assert (answer.status, answer.warnings) == (200, ())


def test_an_edit_of_the_spec_brings_it_again(door):
    made = door.create(manifests.rollout(type="recreate"), dry_run=False)
    made.body["spec"]["version"] = "2"

    answer = door.update("shims/spin-v2", made.body)

    assert answer.warnings == (PREFIX + shims.RECREATE,)
