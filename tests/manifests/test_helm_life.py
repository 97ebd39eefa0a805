"""The chart on a real node: installed, used, and taken away in the order that it insists on."""

import collections.abc
import pathlib
import subprocess

import pytest

from tests.e2e import support
from tests.manifests import rendering
from tests.testbed import cluster_fixtures, clusters, fileserver, helm, program_images, shims

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]
SHIM = "wasm"


def helmed(cluster: clusters.Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [str(helm.program()), *words, "--namespace=rcm-system"]
    argv.append(f"--kubeconfig={cluster.kubeconfig}")
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def values() -> list[str]:
    """Return the flags of an installation with the images of this checkout."""
    images = {"agent": program_images.agent(), "controller": program_images.controller()}
    found = ["--set=agent.extraArgs={--allow-private}", "--set=waitClean.timeoutSeconds=3"]
    for program, image in images.items():
        repository, _, tag = image.ref.rpartition(":")
        found += [f"--set={program}.image.repository={repository}"]
        found += [f"--set-string={program}.image.tag={tag}"]
    return found


@pytest.fixture
def product(
    testbed: None,  # noqa: ARG001 -- it may skip
    tmp_path: pathlib.Path,
) -> collections.abc.Iterator[support.Product]:
    """A cluster of one node without the product, and words for it."""
    cluster_fixtures._need_kubernetes_and_root()
    rendering.need(built=helm.is_built(), part="helm")
    rendering.need(built=shims.is_built(), part="shims")
    with (
        clusters.start(tmp_path / "plane", nodes={"node-1": "2.3"}) as cluster,
        fileserver.start(cluster.gateway) as web,
    ):
        yield support.Product(cluster, web, tmp_path)


def test_an_uninstallation_waits_until_the_node_is_clean(product: support.Product):
    product.import_programs()
    chart = (str(rendering.CHART), "--create-namespace", "--wait", *values())
    installed = helmed(product.cluster, "install", "rcm", *chart)
    assert installed.returncode == 0, (installed.stderr, product.last_words("rcm-agents"))
    product.apply(product.shim(SHIM))
    product.wait_ready(SHIM, "node-1")

    refused = helmed(product.cluster, "uninstall", "rcm", "--timeout=60s")
    assert refused.returncode != 0
    assert f"1 Shim: {SHIM}: delete with" in refused.stdout + refused.stderr
    product.wait_ready(SHIM, "node-1")

    product.cluster.kubectl("delete", "shims", "--all", "--timeout=60s")
    removed = helmed(product.cluster, "uninstall", "rcm", "--wait", "--timeout=120s")
    assert removed.returncode == 0, removed.stderr
    after, before = product.look()["node-1"], product.first["node-1"]
    assert after.config == before.config
    assert after.stored == []
    assert after.processes == {}
    assert after.starts == before.starts + 2, "one restart to install, and one to remove"
