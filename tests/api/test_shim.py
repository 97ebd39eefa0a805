"""Shim manifests: upstream's mean what they say, and wrong ones say what to write instead."""

import copy

import pytest

from rcm_api import shim as shims
from rcm_api.fields import InvalidShim

SHA = "eec8df96fa3a4fe5dbc57ffb706461692c055299dd6d22dff9444863a2a12281"


def manifest(**spec):
    """A valid manifest whose spec fields can be replaced."""
    return {
        "apiVersion": "runtime.spinkube.dev/v1alpha1",
        "kind": "Shim",
        "metadata": {"name": "spin-v2"},
        "spec": {
            "fetchStrategy": {
                "platforms": [
                    {
                        "os": "linux",
                        "arch": "amd64",
                        "location": "https://example.com/shim.tar.gz",
                        "sha256": SHA,
                    }
                ]
            },
            "runtimeClass": {"name": "wasmtime-spin-v2", "handler": "spin-v2"},
            **spec,
        },
    }


def platform(**fields):
    base = {"os": "linux", "arch": "amd64", "location": "https://e.com/s", "sha256": SHA}
    return manifest(fetchStrategy={"platforms": [{**base, **fields}]})


def runtime_class(**fields):
    return manifest(runtimeClass={"name": "a", "handler": "spin", **fields})


def rolling(**fields):
    return manifest(rolloutStrategy={"type": "rolling", "rolling": fields})


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


WRONG = [
    pytest.param(platform(sha256="abc"), "platforms[0].sha256", id="short sha256"),
    pytest.param(platform(sha256=SHA[:-1] + "g"), "platforms[0].sha256", id="sha256 not hex"),
    pytest.param(platform(sha256=5), "platforms[0].sha256", id="sha256 a number"),
    pytest.param(platform(os="windows"), "platforms[0].os", id="windows"),
    pytest.param(platform(arch="riscv64"), "platforms[0].arch", id="unknown arch"),
    pytest.param(platform(location=None), "platforms[0].location", id="no location"),
    pytest.param(platform(location="ftp://e.com/x"), "platforms[0].location", id="ftp"),
    pytest.param(platform(location="https:///x"), "platforms[0].location", id="no host"),
    pytest.param(
        platform(location="https://u:p@e.com/x"), "platforms[0].location", id="password in URL"
    ),
    pytest.param(
        platform(location="http://e.com/x", sha256=None), "location", id="http without sha256"
    ),
    pytest.param(platform(location="file://e.com/x"), "location", id="file with a host"),
    pytest.param(platform(location="https://e.com/" + "a" * 3000), "location", id="long URL"),
    pytest.param(platform(location="https://e.com/a\nb"), "location", id="newline in URL"),
    pytest.param(platform(location="https://[::1/x"), "location", id="broken IPv6"),
    pytest.param(platform(binary="../x"), "platforms[0].binary", id="binary with .."),
    pytest.param(platform(binary="/x"), "platforms[0].binary", id="absolute binary"),
    pytest.param(platform(extra=1), "platforms[0].extra", id="unknown platform field"),
    pytest.param(manifest(fetchStrategy={}), "spec.fetchStrategy", id="no source"),
    pytest.param(manifest(fetchStrategy=None), "spec.fetchStrategy", id="fetchStrategy missing"),
    pytest.param(manifest(fetchStrategy={"platforms": {}}), "platforms", id="platforms a map"),
    pytest.param(runtime_class(handler="runc"), "runtimeClass.handler", id="handler runc"),
    pytest.param(runtime_class(handler="crun"), "runtimeClass.handler", id="handler crun"),
    pytest.param(runtime_class(handler="kata-qemu"), "runtimeClass.handler", id="handler kata"),
    pytest.param(runtime_class(handler="nvidia-cdi"), "runtimeClass.handler", id="handler nvidia"),
    pytest.param(runtime_class(handler="../x"), "runtimeClass.handler", id="handler a path"),
    pytest.param(runtime_class(handler="a" * 300), "runtimeClass.handler", id="handler 300 long"),
    pytest.param(
        runtime_class(handler="sp\u0456n"), "runtimeClass.handler", id="handler look-alike"
    ),
    pytest.param(runtime_class(handler="Spin"), "runtimeClass.handler", id="handler upper case"),
    pytest.param(runtime_class(handler="a.b"), "runtimeClass.handler", id="handler with a dot"),
    pytest.param(runtime_class(handler=""), "runtimeClass.handler", id="handler empty"),
    pytest.param(runtime_class(handler='x"]'), "runtimeClass.handler", id="handler TOML"),
    pytest.param(runtime_class(name="A_B"), "runtimeClass.name", id="class name"),
    pytest.param(
        manifest(containerdRuntimeOptions={"a.b": "1"}), "containerdRuntimeOptions", id="option key"
    ),
    pytest.param(
        manifest(containerdRuntimeOptions={"K": "a\n[x]"}),
        "containerdRuntimeOptions.K",
        id="option newline",
    ),
    pytest.param(
        manifest(containerdRuntimeOptions={"K": ["a"]}), "containerdRuntimeOptions.K", id="list"
    ),
    pytest.param(rolling(maxUpdate=0), "maxUpdate", id="maxUpdate 0"),
    pytest.param(rolling(maxUpdate="0%"), "maxUpdate", id="maxUpdate 0 %"),
    pytest.param(rolling(maxUpdate="101%"), "maxUpdate", id="maxUpdate 101 %"),
    pytest.param(rolling(maxUpdate=-1), "maxUpdate", id="maxUpdate -1"),
    pytest.param(rolling(maxUpdate="abc"), "maxUpdate", id="maxUpdate abc"),
    pytest.param(rolling(maxUpdate=1e9), "maxUpdate", id="maxUpdate 1e9"),
    pytest.param(rolling(maxUpdate=True), "maxUpdate", id="maxUpdate true"),
    pytest.param(
        manifest(rolloutStrategy={"type": "yolo"}), "rolloutStrategy.type", id="rollout type"
    ),
    pytest.param(
        manifest(rolloutStrategy={"disruption": "yes"}), "disruption", id="disruption word"
    ),
    pytest.param(manifest(nodeselector={}), "spec.nodeselector", id="misspelt field"),
    pytest.param({**manifest(), "kind": "Shims"}, "kind", id="kind"),
    pytest.param({**manifest(), "apiVersion": "v1"}, "apiVersion", id="old API version"),
    pytest.param({**manifest(), "metadata": {"name": "Spin V2"}}, "metadata.name", id="name"),
    pytest.param({**manifest(), "metadata": {"name": "a" * 64}}, "metadata.name", id="long name"),
    pytest.param({**manifest(), "metadata": {"name": "../x"}}, "metadata.name", id="name a path"),
    pytest.param([], "manifest", id="a list"),
    pytest.param("text", "manifest", id="a string"),
    pytest.param({**manifest(), 1: 2}, "manifest", id="key not a string"),
]


@pytest.mark.parametrize(("document", "where"), WRONG)
def test_a_wrong_manifest_is_refused_with_field_and_advice(document, where):
    with pytest.raises(InvalidShim) as caught:
        shims.parse(document)

    assert where in caught.value.path
    assert caught.value.problem
    assert caught.value.advice
    assert "\n" not in str(caught.value)


def test_two_different_artifacts_for_one_platform_are_refused():
    twins = [
        {"os": "linux", "arch": arch, "location": "https://e.com/x", "sha256": sha}
        for arch, sha in (("amd64", SHA), ("x86_64", SHA[::-1]))
    ]

    with pytest.raises(InvalidShim, match="two different artifacts"):
        shims.parse(manifest(fetchStrategy={"platforms": twins}))


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
