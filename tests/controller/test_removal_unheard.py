"""Nodes whose agent has not spoken since their object was made: nobody knows what they have."""

import msgspec
import pytest

from rcm_api.noderuntime import Wanted
from tests.controller import looks, make

SPIN = make.wanted(max_update=1)


@pytest.mark.parametrize(
    ("heard", "asked_s", "expected"),
    [
        pytest.param(0, 10, [], id="it has not spoken yet"),
        pytest.param(0, 1000, ["a", "b"], id="it does not speak in time"),
        pytest.param(1, 10, ["a", "b"], id="it has spoken, and of nothing to remove"),
    ],
)
def test_an_agent_speaks_before_it_is_asked_to_clean_up(heard, asked_s, expected):
    """It may have kept what it was asked for in an object that is gone by now."""
    entry = make.entry(SPIN, Wanted.PREFETCH, asked_s=asked_s)
    runtimes = [make.runtime(name, (entry, None)) for name in "ab"]
    told = msgspec.structs.replace(runtimes[0].status, observed_generation=heard)
    runtimes = [msgspec.structs.replace(found, status=told) for found in runtimes]
    deleted = make.view(SPIN, deleting=make.ago(5))

    assert (
        looks.removed(make.world([deleted], [make.node("a"), make.node("b")], runtimes)) == expected
    )


def test_a_dead_node_is_asked_all_the_same():
    runtime = make.runtime("a", (make.entry(SPIN, Wanted.PREFETCH, asked_s=10), None))
    deleted = make.view(SPIN, deleting=make.ago(5))

    assert looks.removed(make.world([deleted], [make.node("a", ready=False)], [runtime])) == ["a"]
