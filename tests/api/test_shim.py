"""Shim manifests: upstream's mean what they say, and wrong ones say what to write instead."""

import copy

import pytest
from hypothesis import given

from rcm_api import shim as shims
from rcm_api.fields import InvalidShim
from tests.api import manifests, strays
from tests.api.manifests import SHA, manifest


def test_an_upstream_manifest_parses_unmodified():
    document = manifest(
        nodeSelector={"spin": "true"},
        fetchStrategy={
            "type": "anonymousHttp",
            "platforms": [
                {"os": "linux", "arch": a, "location": f"https://e.com/{a}.tar.gz", "sha256": SHA}
                for a in ("amd64", "x86_64", "arm64", "aarch64")
            ],
        },
        containerdRuntimeOptions={"SystemdCgroup": "true"},
        rolloutStrategy={"type": "rolling", "rolling": {"maxUpdate": 5}},
    )

    shim = shims.parse(document)

    assert shim.runtime_class.handler == "spin-v2"
    assert dict(shim.options) == {"SystemdCgroup": True}
    assert shim.rollout.max_update == 5
    assert shims.choose(shim, os="linux", arch="arm64").location == "https://e.com/arm64.tar.gz"
    assert dict(shim.node_selector) == {"spin": "true"}


def test_the_older_upstream_form_serves_every_platform():
    shim = shims.parse(
        manifest(
            fetchStrategy={
                "type": "anonymousHttp",
                "anonHttp": {"location": "https://e.com/shim.tar.gz"},
            },
            rolloutStrategy={"type": "recreate"},
        )
    )

    assert shims.choose(shim, os="linux", arch="arm64").sha256 is None
    assert shim.rollout.type == "recreate"
    assert any("no sha256" in text for text in shims.warnings(shim))


def test_a_platform_wins_over_the_legacy_location():
    fetch = copy.deepcopy(manifest()["spec"]["fetchStrategy"])
    fetch["anonHttp"] = {"location": "https://e.com/legacy"}

    shim = shims.parse(manifest(fetchStrategy=fetch))

    assert shims.choose(shim, os="linux", arch="amd64").sha256 == SHA
    assert shims.choose(shim, os="linux", arch="arm64").location == "https://e.com/legacy"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("42", 42),
        ("-1", -1),
        ("0", 0),
        ("007", "007"),
        ("True", "True"),
        ("", ""),
        ("a\"]'b", "a\"]'b"),
    ],
)
def test_an_option_becomes_the_toml_value_that_it_reads_as(text, value):
    shim = shims.parse(manifest(containerdRuntimeOptions={"Key": text}))

    assert shim.options["Key"] == value
    assert type(shim.options["Key"]) is type(value)


@pytest.mark.parametrize("case", manifests.rows(manifests.GOOD + manifests.CONTROLLER_ONLY))
def test_a_good_manifest_parses(case):
    assert shims.parse(case.document).artifacts


@pytest.mark.parametrize("case", manifests.rows(manifests.BAD + manifests.PARSER_ONLY))
def test_a_wrong_manifest_is_refused_with_field_and_advice(case):
    with pytest.raises(InvalidShim) as caught:
        shims.parse(case.document)

    assert case.where in caught.value.path
    assert caught.value.problem
    assert caught.value.advice
    assert "\n" not in str(caught.value)


def test_a_password_is_not_repeated():
    with pytest.raises(InvalidShim) as caught:
        shims.parse(manifests.platform(location="https://user:hunter2@example.com/x"))

    assert "hunter2" not in f"{caught.value} {caught.value.advice}"


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"version": "text only"}, True),
        ({"nodeSelector": {"a": "b"}}, True),
        ({"rolloutStrategy": {"type": "recreate"}}, True),
        ({"containerdRuntimeOptions": {"A": "1"}}, False),
        ({"runtimeClass": {"name": "wasmtime-spin-v2", "handler": "spin"}}, False),
    ],
)
def test_the_digest_changes_exactly_when_a_node_has_work(changed, same):
    def digest(document):
        shim = shims.parse(document)
        return shims.digest(shim, shim.artifacts[0])

    assert (digest(manifest()) == digest(manifest(**changed))) is same


@given(strays.documents())
def test_a_stray_manifest_is_parsed_or_refused_with_advice(document):
    refusal = _refusal(document)

    assert refusal is None or refusal.advice
    assert len(str(refusal)) < 1024


def _refusal(document):
    try:
        shims.parse(document)
    except InvalidShim as refusal:
        return refusal
    return None
