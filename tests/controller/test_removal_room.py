"""Nodes that drain make room for idle ones, and never swap places with them for ever."""

import pytest

from rcm_api.noderuntime import Phase, Wanted
from tests.controller import looks, make

SPIN = make.wanted(max_update=1)
ABSENT = make.entry(SPIN, Wanted.ABSENT, attempt=1)


def going(name, *, control_plane=False, **draining):
    """Return a node that drains, or one that is not asked yet."""
    told = make.seen(SPIN, Phase.DRAINING, has=SPIN, observed_attempt=1, **draining)
    pair = (ABSENT, told) if draining else (make.entry(SPIN), make.seen(SPIN))
    return make.node(name, control_plane=control_plane), make.runtime(name, pair)


def world(*nodes):
    shim = make.view(SPIN, deleting=make.ago(60))
    return make.world([shim], [n for n, _ in nodes], [r for _, r in nodes])


def test_a_node_with_pods_makes_room_for_an_idle_one():
    found = world(going("a", in_use=2), going("b"))

    assert looks.withdrawn(found) == ["a"]


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param((going("a", in_use=0), going("b")), id="it drains for another reason"),
        pytest.param(
            (going("a", in_use=2), going("b", control_plane=True)), id="control planes come last"
        ),
    ],
)
def test_a_node_that_would_be_asked_again_first_is_not_withdrawn(nodes):
    assert looks.asked(world(*nodes)) == {}


@pytest.mark.parametrize(
    ("attempt", "removed"),
    [pytest.param(2, ["b"], id="for good"), pytest.param(1, [], id="so far")],
)
def test_a_control_plane_that_failed_another_shim_keeps_none_from_being_clean(attempt, removed):
    other = make.wanted("other")
    failed = make.seen(other, Phase.ROLLED_BACK, observed_attempt=attempt)
    master = make.node("a", control_plane=True)
    nodes = [
        (master, make.runtime("a", (make.entry(other, attempt=attempt), failed))),
        going("b", control_plane=True),
    ]
    shims = [make.view(SPIN, deleting=make.ago(60)), make.view(other)]
    found = make.world(shims, [n for n, _ in nodes], [r for _, r in nodes])

    assert looks.removed(found) == removed


def test_a_shim_that_came_too_late_still_spends_what_it_has_begun():
    elder = make.view(make.wanted("elder", handler="spin"), age=2000.0)
    late = make.wanted(max_update=1, selector={"pool": "a"})
    begun = (make.entry(late), make.seen(late, Phase.APPLYING, has=late))
    nodes = [make.node("a", labels={"pool": "a"}), make.node("b")]
    runtimes = [make.runtime("a", begun), make.runtime("b", (make.entry(late), make.seen(late)))]

    assert looks.removed(make.world([elder, make.view(late)], nodes, runtimes)) == []
