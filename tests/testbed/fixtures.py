"""pytest's door to the test bed: real nodes as fixtures.

A root conftest loads it with `pytest_plugins = ["tests.testbed.fixtures"]`. Tests that cannot run
for want of Docker, or of a built test bed, are skipped with the reason; RCM_TESTBED=required makes
that a failure, for machines where they must run. At the end pytest says how many tests ran
against which real containerd.
"""

import collections
import collections.abc
import contextlib
import os

import pytest

from tests.testbed import containerd, image, machine, nodes

# 2.2 is built for questions to its binary; its nodes differ in nothing that 2.1 and 2.3 leave open.
NODE_VERSIONS = ("1.6", "1.7", "2.1", "2.3")
_PROPERTY = "containerd"


class Pool:
    """Nodes that tests of one process share, started when first asked for."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._nodes: dict[str, nodes.Node] = {}

    def get(self, version: str) -> nodes.Node:
        """Return the shared node of a release."""
        if version not in self._nodes:
            self._nodes[version] = self._stack.enter_context(nodes.start(containerd=version))
        return self._nodes[version]


@pytest.fixture(scope="session")
def testbed() -> None:
    """Skip the test, with the reason, where nodes cannot run."""
    if reason := _unusable():
        if os.environ.get("RCM_TESTBED") == "required":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    machine.ensure_daemon()


@pytest.fixture(scope="session")
def pool(testbed: None) -> collections.abc.Iterator[Pool]:  # noqa: ARG001 -- it may skip
    """Give access to shared nodes by release."""
    with contextlib.ExitStack() as stack:
        yield Pool(stack)


@pytest.fixture(params=NODE_VERSIONS)
def node(request: pytest.FixtureRequest, pool: Pool) -> nodes.Node:
    """Give a shared node of every release: leave it as you found it."""
    return _shared(request, pool, request.param)


@pytest.fixture(params=NODE_VERSIONS)
def fresh_node(
    request: pytest.FixtureRequest,
    testbed: None,  # noqa: ARG001 -- it may skip
) -> collections.abc.Iterator[nodes.Node]:
    """Give a new node of every release, for the test alone; it takes a second to start."""
    _count(request, request.param)
    with nodes.start(containerd=request.param) as fresh:
        yield fresh


@pytest.fixture
def node_1_6(request: pytest.FixtureRequest, pool: Pool) -> nodes.Node:
    """Give the shared node with containerd 1.6."""
    return _shared(request, pool, "1.6")


@pytest.fixture
def node_1_7(request: pytest.FixtureRequest, pool: Pool) -> nodes.Node:
    """Give the shared node with containerd 1.7."""
    return _shared(request, pool, "1.7")


@pytest.fixture
def node_2_1(request: pytest.FixtureRequest, pool: Pool) -> nodes.Node:
    """Give the shared node with containerd 2.1."""
    return _shared(request, pool, "2.1")


@pytest.fixture
def node_2_3(request: pytest.FixtureRequest, pool: Pool) -> nodes.Node:
    """Give the shared node with containerd 2.3."""
    return _shared(request, pool, "2.3")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests ran against a real containerd, per release."""
    counts = collections.Counter(
        str(value)
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        if report.when == "call"
        for name, value in report.user_properties
        if name == _PROPERTY
    )
    if counts:
        said = ", ".join(f"{version}: {counts[version]}" for version in sorted(counts))
        terminalreporter.write_line(f"tests against real containerd: {said}")


def _shared(request: pytest.FixtureRequest, pool: Pool, version: str) -> nodes.Node:
    _count(request, version)
    return pool.get(version)


def _count(request: pytest.FixtureRequest, version: str) -> None:
    request.node.user_properties.append((_PROPERTY, containerd.VERSIONS[version].version))


def _unusable() -> str | None:
    if reason := machine.available():
        return reason
    if not machine.daemon_answers():
        return "no Docker daemon runs yet: run `python -m tests.testbed build`"
    if lacking := [version for version in NODE_VERSIONS if not image.is_built(version)]:
        names = " ".join(f"node-{version}" for version in lacking)
        return f"nodes are not built yet: run `python -m tests.testbed build {names}`"
    return None
