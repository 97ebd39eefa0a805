"""What a user's command makes of `manifests/`: kubectl's kustomize, and Helm."""

import functools
import os
import pathlib
import subprocess
from typing import Any

import pytest
import yaml

from tests.testbed import helm, kube

ROOT = pathlib.Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
CHART = MANIFESTS / "chart"
OVERLAYS = ("vanilla", "k3s", "rke2", "k0s", "microk8s")

Object = dict[str, Any]
Objects = dict[tuple[str, str, str], Object]
"""By kind, namespace and name."""


def need(*, built: bool, part: str) -> None:
    """Skip the test where a part is not built; RCM_TESTBED=required makes that a failure."""
    if built:
        return
    reason = f"{part} is not built yet: run `python -m tests.testbed build {part}`"
    if os.environ.get("RCM_TESTBED") == "required":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@functools.cache
def kustomized(folder: str) -> str:
    """Render a folder below `manifests/` as `kubectl kustomize` does."""
    need(built=kube.is_built(), part="kubernetes")
    return _run([str(kube.programs() / "kubectl"), "kustomize", str(MANIFESTS / folder)])


@functools.cache
def charted(*words: str) -> str:
    """Render the chart as `helm template` does, with further words."""
    return helmed("template", "rcm", str(CHART), "--namespace=rcm-system", *words)


def helmed(*words: str) -> str:
    """Run Helm.

    Raises:
        CalledProcessError: It ended with another exit code than 0.
    """
    need(built=helm.is_built(), part="helm")
    version = ("--kube-version", kube.VERSION) if words[0] in ("template", "lint") else ()
    return _run([str(helm.program()), *words, *version])


def objects(text: str) -> Objects:
    """Return the objects of a stream; one that occurs twice is an error."""
    found: Objects = {}
    for document in yaml.safe_load_all(text):
        if document is None:
            continue
        metadata = document["metadata"]
        key = (document["kind"], metadata.get("namespace", ""), metadata["name"])
        assert key not in found, f"twice: {key}"
        found[key] = document
    return found


def pod_of(found: Objects, kind: str) -> Object:
    """Return the Pod's spec of the one Deployment, DaemonSet or Job."""
    one = [document for key, document in found.items() if key[0] == kind]
    assert len(one) == 1
    return one[0]["spec"]["template"]["spec"]


def _run(argv: list[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout
