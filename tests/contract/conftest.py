"""The hosts that the contract of `rcm_agent.ports` is held against: real nodes, and the fake.

place      every release, real and simulated
real       every release, real only: for what the simulated host does not show
one_place  one release, real and simulated: for what has nothing to do with containerd
one_real   one release, real only

`api_server`, for the contract of `rcm_api.client`, comes from a module of its own.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any

import pytest

from rcm_agent import ports
from tests.contract import remote
from tests.contract.api_servers import api_server
from tests.fakes import host as fake
from tests.testbed import containerd, fixtures, nodes

__all__ = ["api_server"]

FAKES = ("1.6.20", "1.7.24", "2.3.4")
_POLL_S = 0.05


class Agents:
    """One process in each node that holds its doors; started when first asked for."""

    def __init__(self, pool: fixtures.Pool, stack: contextlib.ExitStack) -> None:
        self._pool = pool
        self._stack = stack
        self._agents: dict[str, remote.Agent] = {}

    def get(self, name: str) -> remote.Agent:
        if name not in self._agents:
            node = self._pool.get(name)
            self._agents[name] = self._stack.enter_context(remote.opened(node))
        return self._agents[name]

    def kill(self, name: str) -> None:
        self._agents.pop(name).kill()


@dataclass(slots=True)
class Real:
    """A real node, and what a test may do to it from outside."""

    name: str
    agents: Agents

    @property
    def host(self) -> ports.Host:
        return self.agents.get(self.name).host

    @property
    def node(self) -> nodes.Node:
        return self.agents.get(self.name).node

    @property
    def release(self) -> tuple[int, int]:
        return _release(self.name)

    def kill_agent(self) -> None:
        """Kill the process that holds the doors; the next use opens them again."""
        self.agents.kill(self.name)

    def read(self, path: str) -> bytes:
        return self.node.read(path)

    def write(self, path: str, data: bytes) -> None:
        self.node.write(path, data)

    def exists(self, path: str) -> bool:
        return self.node.exists(path)

    def remove(self, path: str) -> None:
        self.node.exec(["rm", "-f", path])

    def pass_time(self, seconds: float) -> None:
        time.sleep(seconds)

    def await_file(self, path: str, *, timeout_s: float = 30) -> bool:
        """Tell whether there is a file within that time."""
        deadline = time.monotonic() + timeout_s
        while not self.exists(path):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True


@dataclass(slots=True)
class Fake:
    """The simulated host, with the same handles."""

    name: str
    fake: fake.FakeHost

    @property
    def host(self) -> ports.Host:
        return self.fake.ports

    @property
    def release(self) -> tuple[int, int]:
        return _release(self.name)

    def kill_agent(self) -> None:
        self.fake.kill()

    def read(self, path: str) -> bytes:
        return self.fake.disk.get(path) or b""

    def write(self, path: str, data: bytes) -> None:
        self.fake.disk.put(path, data)

    def exists(self, path: str) -> bool:
        return self.fake.disk.get(path) is not None

    def remove(self, path: str) -> None:
        self.fake.disk.forget(path)

    def pass_time(self, seconds: float) -> None:
        self.fake.pass_time(seconds)

    def await_file(self, path: str, *, timeout_s: float = 30) -> bool:
        self.fake.pass_time(timeout_s)
        return self.exists(path)


def _release(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _real(name: str) -> Any:
    return pytest.param(("node", name), id=f"node-{name}", marks=pytest.mark.node)


def _fake(version: str) -> Any:
    return pytest.param(("fake", version), id=f"fake-{version}")


_REAL = [_real(name) for name in fixtures.NODE_VERSIONS]
_ONE = "2.3"


@pytest.fixture(scope="session")
def agents(request):
    # Asked for by name when needed: the pool skips tests where nodes cannot run.
    with contextlib.ExitStack() as stack:
        yield Agents(request.getfixturevalue("pool"), stack)


@pytest.fixture(params=[*map(_fake, FAKES), *_REAL])
def place(request):
    return _open(request)


@pytest.fixture(params=[_fake("2.3.4"), _real(_ONE)])
def one_place(request):
    return _open(request)


@pytest.fixture(params=_REAL)
def real(request):
    return _open(request)


@pytest.fixture(params=[_real(_ONE)])
def one_real(request):
    return _open(request)


def _open(request) -> Real | Fake:
    kind, name = request.param
    if kind == "fake":
        return Fake(name, fake.FakeHost(name))
    request.node.user_properties.append(("containerd", containerd.VERSIONS[name].version))
    return Real(name, request.getfixturevalue("agents"))
