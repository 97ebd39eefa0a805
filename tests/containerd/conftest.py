"""Hosts for the tests of the agent: nodes that see the built shims and are put back after a test."""

import collections.abc
import contextlib
import os

import pytest

from tests.containerd import broken, support
from tests.testbed import containerd, nodes, shims

_FAILED = pytest.StashKey[bool]()

Start = collections.abc.Callable[..., support.Host]


class Hosts:
    """Hosts that tests share, started when first asked for."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._hosts: dict[str, support.Host] = {}

    def get(self, version: str) -> support.Host:
        """Return the shared host of a release."""
        if version not in self._hosts:
            host = start(self._stack, version)
            host.keep()
            self._hosts[version] = host
        return self._hosts[version]


def start(stack: contextlib.ExitStack, version: str, **options: object) -> support.Host:
    """Start a host that lives as long as `stack`."""
    mounts = {shims.build(): "/srv/shims", broken.build(): "/srv/broken"}
    return support.Host(
        stack.enter_context(nodes.start(containerd=version, mounts=mounts, **options))
    )


@pytest.fixture(scope="session")
def hosts(testbed: None) -> collections.abc.Iterator[Hosts]:  # noqa: ARG001 -- it may skip
    """Give access to shared hosts by release."""
    if not shims.is_built():
        reason = "the shim is not built yet: run `python -m tests.testbed build shims`"
        if os.environ.get("RCM_TESTBED") == "required":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with contextlib.ExitStack() as stack:
        yield Hosts(stack)


@pytest.fixture
def host(
    request: pytest.FixtureRequest, hosts: Hosts, release: str
) -> collections.abc.Iterator[support.Host]:
    """Give a shared host of the test's `release`, with nothing of ours on it."""
    _count(request, release)
    found = hosts.get(release)
    found.fresh()
    yield found
    found.fresh(restart=request.node.stash.get(_FAILED, False))


@pytest.fixture
def new_host(
    request: pytest.FixtureRequest,
    hosts: Hosts,  # noqa: ARG001 -- it may skip
    release: str,
) -> collections.abc.Iterator[Start]:
    """Give a function that starts a host of the test's `release` for the test alone."""
    _count(request, release)
    with contextlib.ExitStack() as stack:
        yield lambda **options: start(stack, release, **options)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> collections.abc.Iterator[None]:
    """Remember which test failed: its host needs more than a look."""
    outcome = yield
    if outcome.get_result().failed:
        item.stash[_FAILED] = True


def _count(request: pytest.FixtureRequest, release: str) -> None:
    request.node.user_properties.append(("containerd", containerd.VERSIONS[release].version))
