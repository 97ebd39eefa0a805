"""Fixtures of end-to-end tests; the cluster itself is `tests/testbed/cluster_fixtures.py`'s."""
