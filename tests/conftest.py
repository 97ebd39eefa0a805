"""Fixtures for all tests: the real nodes of the test bed."""

pytest_plugins = ["tests.testbed.fixtures"]
