"""Fixtures for all tests: the test bed's real nodes, control plane and cluster."""

pytest_plugins = [
    "tests.testbed.fixtures",
    "tests.testbed.controlplane_fixtures",
    "tests.testbed.cluster_fixtures",
    "tests.testbed.one_cluster",
]
