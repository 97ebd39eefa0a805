"""kill -9 of agent, controller, containerd and kubelet in the midst of everything changes nothing."""

import collections.abc

import pytest

from tests.e2e import support
from tests.soak import life

pytestmark = [
    pytest.mark.node,
    pytest.mark.real,
    pytest.mark.timeout(900),
]


@pytest.fixture
def rested(product: support.Product) -> collections.abc.Iterator[support.Product]:
    """Give a product whose pods nobody killed, and leave one."""
    yield product
    life.rest(product)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whoever_is_killed_everything_comes_right(rested: support.Product, seed: int) -> None:
    lived = life.live(rested, seed)

    assert lived.seconds.keys() == lived.kills.keys()
