"""Sends every test on the whole cluster to one process of pytest-xdist, so that one cluster serves all.

A pytest plugin. The groups of xdist 3.8 (`--dist loadgroup`) do nothing under pytest 9.2: it sets a
test's `_nodeid`, which pytest reads no more. Here a test's place tells. All other tests go one by one
to whoever is free.
"""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ON_THE_CLUSTER = ("tests/e2e/", "tests/testbed/test_cluster.py")


class Scheduling(LoadScopeScheduling):
    """One scope for the cluster's tests, and one for each other test."""

    def _split_scope(self, nodeid: str) -> str:
        return "the cluster" if nodeid.startswith(ON_THE_CLUSTER) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Tell pytest-xdist how to hand out tests."""
    return Scheduling(config, log)
