"""The real API server and our parser refuse the same manifests, in the same words."""

import pytest

from rcm_api import shim as shims
from rcm_api.fields import InvalidShim
from tests.api import manifests
from tests.cluster import shim_api

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

ITS_OWN_WORDS = (
    "Required value",
    "Unsupported value",
    "Duplicate value",
    "Too long",
    "Too many",
    "must be of type",
    "should be greater than or equal to",
    "unknown field",
    "a lowercase RFC 1123 subdomain must",
    "must be Shim",
    "does not match the expected API version",
    "must have at most 262144 bytes",
    "the object provided is unrecognized",
)
"""What the schema alone refuses, the API server says in its own words. They name the field."""


@pytest.fixture(scope="module")
def installed(shared_control_plane, tmp_path_factory):
    shim_api.install(shared_control_plane)
    return shim_api.Door(shared_control_plane, tmp_path_factory.mktemp("door"))


@pytest.fixture
def door(control_plane, installed):
    del control_plane
    return installed


@pytest.mark.parametrize("case", manifests.rows(manifests.GOOD + manifests.CONTROLLER_ONLY))
def test_a_good_manifest_is_accepted(case, door):
    answer = door.create(case.document)

    assert (answer.status, answer.message) == (201, "")


@pytest.mark.parametrize("case", manifests.rows(manifests.BAD))
def test_a_wrong_manifest_is_refused_with_our_advice(case, door):
    answer = door.create(case.document)

    assert answer.status in {400, 422}, case.name
    assert _advice(case) in answer.message or any(w in answer.message for w in ITS_OWN_WORDS)


@pytest.mark.parametrize("case", manifests.rows(manifests.SERVER_ONLY))
def test_what_only_the_api_server_sees_is_refused(case, door):
    answer = door.create(case.document)

    assert answer.status in {400, 422}
    assert case.where in answer.message


@pytest.mark.parametrize(
    ("case", "says"),
    [
        pytest.param(
            manifests.runtime_class(handler="runc"),
            'spec.runtimeClass.handler: Invalid value: "runc": is reserved for another runtime;'
            " choose a handler like spin-v2",
            id="reserved handler",
        ),
        pytest.param(
            manifests.platform(sha256=f"sha256:{manifests.SHA}"),
            "is no SHA-256; write the 64 hex digits that sha256sum prints",
            id="digest as images have it",
        ),
        pytest.param(
            manifests.platform(location="http://e.com/x", sha256=...),
            "spec.fetchStrategy.platforms[0].location: Invalid value: is http:// without a sha256;"
            " add sha256, or write https://",
            id="http without sha256",
        ),
        pytest.param(
            manifests.rolling(maxUpdate="0%"),
            "write a whole number from 1 to 1000000, or a percentage from 1% to 100%",
            id="nothing at a time",
        ),
        pytest.param(
            manifests.manifest(fetchStrategy={}),
            "names no artifact; add a platforms entry with os, arch, location and sha256",
            id="no source",
        ),
        pytest.param(
            manifests.platforms(
                manifests.entry(), manifests.entry(arch="x86_64", sha256=manifests.OTHER)
            ),
            "keep one of them",
            id="twins",
        ),
        pytest.param(
            manifests.options(K="a\n[plugins]"),
            "has a control character; write it on one line, without tabs",
            id="TOML injection",
        ),
        pytest.param(
            manifests.options(**{"a.b": "c"}),
            "option keys look like SystemdCgroup",
            id="option key",
        ),
        pytest.param(manifests.named("a" * 64), "more than 63 characters", id="long name"),
    ],
)
def test_a_refusal_says_what_to_write_instead(case, says, door):
    assert says in door.create(case).message


@pytest.mark.parametrize("case", manifests.rows(manifests.GOOD))
def test_kubernetes_takes_the_runtime_class_of_a_good_manifest(case, control_plane):
    wanted = shims.parse(case.document).runtime_class
    body = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": wanted.name},
        "handler": wanted.handler,
        "scheduling": {"tolerations": wanted.tolerations},
        "overhead": wanted.overhead,
    }

    path = "/apis/node.k8s.io/v1/runtimeclasses?dryRun=All&fieldValidation=Strict"

    assert control_plane.ask("POST", path, body) == 201


def test_the_samples_apply(door, control_plane):
    del door
    samples = shim_api.ROOT / "manifests" / "samples"

    said = control_plane.kubectl("apply", "--dry-run=server", f"--filename={samples}")

    assert said.count("created (server dry run)") == len(list(samples.iterdir()))


def _advice(case):
    with pytest.raises(InvalidShim) as caught:
        shims.parse(case.document)
    return caught.value.advice
