"""pytest's door to a whole cluster, which the tests of a process share.

One process runs all tests that use it (`one_cluster` sends them there, by their place), or each
process would start one. Leave it as you found it. Where it cannot
run, tests are skipped with the reason; RCM_TESTBED=required makes that a failure.
"""

import collections.abc
import os

import pytest

from tests.testbed import clusters, fileserver, kube, program_images

NODES = {"node-1": "1.7", "node-2": "2.1", "node-3": "2.3"}


@pytest.fixture(scope="session")
def cluster(
    testbed: None,  # noqa: ARG001 -- it may skip
    tmp_path_factory: pytest.TempPathFactory,
) -> collections.abc.Iterator[clusters.Cluster]:
    """Give a cluster of three nodes: node-1 with containerd 1.7, node-2 with 2.1, node-3 with 2.3."""
    _need_kubernetes_and_root()
    with clusters.start(tmp_path_factory.mktemp("cluster"), nodes=NODES) as started:
        yield started


@pytest.fixture(scope="session")
def files(cluster: clusters.Cluster) -> collections.abc.Iterator[fileserver.Server]:
    """Give a web server that nodes and pods of the cluster reach."""
    with fileserver.start(cluster.gateway) as server:
        yield server


@pytest.fixture(scope="session")
def agent_image(cluster: clusters.Cluster) -> str:
    """Import the agent's image on all nodes; return its name."""
    return _imported(cluster, program_images.agent())


@pytest.fixture(scope="session")
def controller_image(cluster: clusters.Cluster) -> str:
    """Import the controller's image on all nodes; return its name."""
    return _imported(cluster, program_images.controller())


@pytest.fixture(scope="session")
def python_image(cluster: clusters.Cluster) -> str:
    """Import an image with Python and a shell on all nodes; return its name."""
    return _imported(cluster, program_images.python())


def _imported(cluster: clusters.Cluster, image: program_images.ProgramImage) -> str:
    cluster.import_image(image.archive)
    return image.ref


def _need_kubernetes_and_root() -> None:
    reason = ""
    if not kube.is_built():
        reason = "Kubernetes is not built yet: run `python -m tests.testbed build kubernetes`"
    elif os.geteuid() != 0:
        reason = "only root may add the routes to pods"
    if reason and os.environ.get("RCM_TESTBED") == "required":
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)
