"""Fixtures of end-to-end tests; the cluster itself is `tests/testbed/cluster_fixtures.py`'s."""

import collections.abc
import os

import pytest

from tests.e2e import support
from tests.testbed import clusters, fileserver, shims


@pytest.fixture(scope="session")
def installed(
    cluster: clusters.Cluster, files: fileserver.Server, tmp_path_factory: pytest.TempPathFactory
) -> support.Product:
    """Install the product on the shared cluster, once."""
    _need_shims()
    found = support.Product(cluster, files, tmp_path_factory.mktemp("product"))
    found.install()
    return found


@pytest.fixture
def product(installed: support.Product) -> collections.abc.Iterator[support.Product]:
    """Give the installed product; what a test applied goes when it ends."""
    yield installed
    installed.clean()


def _need_shims() -> None:
    if shims.is_built():
        return
    reason = "the shim is not built yet: run `python -m tests.testbed build shims`"
    if os.environ.get("RCM_TESTBED") == "required":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
