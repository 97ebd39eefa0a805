"""The manifests that people copy are right, and wise where they say so."""

import pathlib

import pytest
import yaml

from rcm_api import shim as shims

FOLDER = pathlib.Path(__file__).parents[2] / "manifests" / "samples"
DOCUMENTS = {path.name: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yaml"))}
SHIMS = {name: document for name, document in DOCUMENTS.items() if document["kind"] == "Shim"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("shim-spin.yaml", ()),
        ("shim-spin-upstream.yaml", (shims.RECREATE,)),
        ("shim-wasmtime.yaml", (shims.NO_DIGEST,)),
    ],
)
def test_a_sample_parses_and_warns_of_what_it_says_itself(name, expected):
    assert shims.warnings(shims.parse(SHIMS[name])) == expected


def test_no_sample_is_forgotten_here():
    assert sorted(DOCUMENTS) == [
        "deployment-spin.yaml",
        "shim-spin-upstream.yaml",
        "shim-spin.yaml",
        "shim-wasmtime.yaml",
    ]


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
@pytest.mark.parametrize("name", sorted(SHIMS))
def test_a_sample_serves_both_architectures(name, arch):
    assert shims.choose(shims.parse(SHIMS[name]), os="linux", arch=arch)


@pytest.mark.parametrize("name", ["shim-spin.yaml", "shim-spin-upstream.yaml"])
def test_the_deployment_runs_with_either_spin_shim(name):
    pod = DOCUMENTS["deployment-spin.yaml"]["spec"]["template"]["spec"]

    assert pod["runtimeClassName"] == shims.parse(SHIMS[name]).runtime_class.name
