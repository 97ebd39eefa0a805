"""Manifests that were written for the upstream project and its operator work as they are."""

import pathlib
import re

import pytest

from tests.e2e import support
from tests.testbed import shims
from tests.workloads import images, modules

pytestmark = [
    pytest.mark.node,
    pytest.mark.real,
    pytest.mark.timeout(300),
]

SAMPLES = pathlib.Path(__file__).parents[2] / "manifests" / "samples"
APP = "rcm.test/upstream-app:1"
ROLLING = "    type: rolling\n    rolling:\n      maxUpdate: 5\n"


def shim(product: support.Product) -> str:
    """Return the upstream sample with our file's place and digest, and no other change."""
    file = product.release("v0.1.0")
    text = (SAMPLES / "shim-spin-upstream.yaml").read_text()
    text = re.sub(r"location: .*", f"location: {file.url}", text)
    text = re.sub(r"sha256: .*", f"sha256: {file.sha256}", text)
    # These nodes' kubelets have the cgroup driver cgroupfs.
    text = text.replace('SystemdCgroup: "true"', 'SystemdCgroup: "false"')
    return re.sub(r"    type: recreate\n", ROLLING, text)


def app() -> str:
    """Return the Deployment that the operator makes, with an image that is there."""
    text = (SAMPLES / "deployment-spin.yaml").read_text()
    return re.sub(r"image: .*", f"image: {APP}", text)


def test_an_upstream_shim_and_an_operators_deployment_run(product: support.Product) -> None:
    product.cluster.import_image(images.artifact(APP, modules.say_and_stay("spinning\n")))
    product.cluster.kubectl("label", "nodes", "node-2", "node-3", "--overwrite", "spin=true")
    try:
        product.cluster.kubectl("apply", "-f", "-", stdin=shim(product))
        product.wait_ready("spin-v2", "node-2", "node-3")
        product.cluster.kubectl("apply", "-f", "-", stdin=app())
        pods = product.wait_available("hello-spin", 2)

        assert {pod["spec"]["nodeName"] for pod in pods} <= {"node-2", "node-3"}
        for pod in pods:
            assert product.cluster.kubectl("logs", pod["metadata"]["name"]) == "spinning\n"
        assert product.status("spin-v2")["nodes"] == 2
        assert product.status("spin-v2")["nodesReady"] == 2
        said = product.entry("node-3", "spin-v2")["version"]
        assert said
        assert shims.is_built()
    finally:
        product.cluster.kubectl("label", "nodes", "--all", "spin-")
