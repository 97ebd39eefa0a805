"""Fixtures for all tests: the test bed's real nodes and control plane."""

pytest_plugins = ["tests.testbed.fixtures", "tests.testbed.controlplane_fixtures"]
