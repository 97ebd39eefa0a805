"""Ready labels stand where the handler was proven, and nowhere else."""

import dataclasses

import pytest

from rcm_api import fields, names
from rcm_api.noderuntime import Phase, Wanted
from tests.controller import looks, make

OLD, NEW = make.OLD, make.NEW
KEY = names.ready_label("spin")


def world(pair, *, labelled, view=None, node=None, **metadata):
    node = node or make.node("a", ready_for=["spin"] if labelled else [])
    view = view or make.view(NEW, status=make.proven(NEW))
    return make.world([view], [node], [make.runtime("a", pair, **metadata)])


def both_ways(pair, ready, **more):
    """Look at a node with and without the label."""
    expected = ({"a": {"spin": True}} if ready else {}, {} if ready else {"a": {"spin": False}})
    found = tuple(looks.labels(world(pair, labelled=on, **more)) for on in (False, True))
    assert found == expected


@pytest.mark.parametrize(
    ("pair", "ready"),
    [
        pytest.param(make.pair("done"), True, id="proven"),
        pytest.param(make.pair("due"), True, id="before an upgrade"),
        pytest.param(make.pair("busy"), True, id="during an upgrade"),
        pytest.param(make.pair("waiting"), True, id="at the gate"),
        pytest.param(make.pair("failed"), True, id="after a roll-back"),
        pytest.param((make.entry(NEW), make.seen(NEW, Phase.FETCHED)), False, id="not proven yet"),
        pytest.param((make.entry(NEW), make.seen(NEW, Phase.APPLYING)), False, id="at work"),
        pytest.param((make.entry(NEW), make.seen(NEW, Phase.FAILED)), False, id="nothing works"),
        pytest.param((make.entry(NEW), make.seen(NEW, handler="x")), False, id="another handler"),
        pytest.param((make.entry(NEW), make.seen(NEW, digest="")), False, id="the proof is lost"),
        pytest.param(
            (make.entry(NEW, Wanted.ABSENT), make.seen(NEW, Phase.DRAINING, has=NEW)),
            False,
            id="draining",
        ),
        pytest.param(
            (make.entry(NEW, Wanted.ABSENT), make.seen(NEW, has=NEW)), False, id="may be removed"
        ),
    ],
)
def test_a_node_is_labelled_where_the_handler_is_proven(pair, ready):
    both_ways(pair, ready)


def test_the_label_of_another_machine_goes():
    node = make.node("a", uid="new", ready_for=["spin"])

    assert looks.labels(world(make.pair("done"), labelled=True, node=node)) == {
        "a": {"spin": False}
    }


def test_the_label_goes_while_the_object_is_deleted():
    going = world(make.pair("done"), labelled=True, deletion_timestamp=make.NOW)

    assert looks.labels(going) == {"a": {"spin": False}}


def test_a_node_that_is_down_keeps_its_label():
    node = make.node("a", ready=False, ready_for=["spin"])

    assert looks.labels(world(make.pair("done"), labelled=True, node=node)) == {}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({KEY: "READY"}, {"a": {"spin": True}}, id="wrong value"),
        pytest.param(
            {KEY: "ready", names.READY_PREFIX + "nobody": "ready"},
            {"a": {"nobody": False}},
            id="of no Shim",
        ),
        pytest.param({KEY: "ready", "example.com/spin": "ready"}, {}, id="somebody else's"),
        pytest.param({}, {"a": {"spin": True}}, id="taken off by hand"),
    ],
)
def test_tampered_labels_are_put_right(labels, expected):
    node = make.node("a", labels=labels)

    assert looks.labels(world(make.pair("done"), labelled=False, node=node)) == expected


def test_a_label_on_a_node_without_an_object_goes():
    alone = make.world([make.view(NEW)], [make.node("a", ready_for=["spin"])])

    assert looks.labels(alone) == {"a": {"spin": False}}


def test_labels_come_off_before_and_go_on_after_the_runtime_class():
    first = make.wanted("alpha")
    node = make.node("a", ready_for=["nobody"])
    runtime = make.runtime("a", (make.entry(first), make.seen(first)))
    found = looks.decide(make.world([make.view(first)], [node], [runtime]))

    assert [type(a).__name__ for a in found] == ["LabelNode", "CreateRuntimeClass", "LabelNode"]
    assert dict(found[0].shims) == {"nobody": False}


PROBLEM = fields.InvalidShim("spec.runtimeClass.handler", "'runc' is reserved", "choose another")


@pytest.mark.parametrize(
    ("pair", "ready"),
    [
        pytest.param(make.pair("done"), True, id="proven"),
        pytest.param(
            (make.entry(NEW), make.seen(NEW, Phase.FAILED)), False, id="the proof is lost"
        ),
    ],
)
def test_an_invalid_shim_keeps_its_proven_labels_and_gets_no_new_ones(pair, ready):
    view = make.view(problem=PROBLEM, name="spin")

    assert looks.labels(world(pair, labelled=True, view=view)) == (
        {} if ready else {"a": {"spin": False}}
    )
    assert looks.labels(world(pair, labelled=False, view=view)) == {}


def test_an_invalid_shim_asks_nothing():
    view = make.view(problem=PROBLEM, name="spin")

    assert looks.decide(world(make.pair("due"), labelled=True, view=view)) == ()


def test_an_invalid_shim_can_be_deleted():
    view = make.view(problem=PROBLEM, name="spin", deleting=make.ago(60))

    assert looks.removed(world(make.pair("done"), labelled=False, view=view)) == ["a"]


def test_a_handler_that_changes_takes_the_labels_along():
    moved = make.wanted(version="2", handler="other")
    found = world(make.pair("old"), labelled=True, view=make.view(moved))

    assert looks.labels(found) == {"a": {"spin": False}}


def test_two_labels_of_one_node_are_one_write():
    wasm = make.wanted("wasm")
    both = make.runtime("a", make.pair("done"), (make.entry(wasm), make.seen(wasm)))
    found = make.world([make.view(NEW), make.view(wasm)], [make.node("a")], [both])

    assert looks.labels(found) == {"a": {"spin": True, "wasm": True}}


def test_a_label_is_written_for_the_node_that_was_looked_at():
    (action,) = (
        a for a in looks.decide(world(make.pair("done"), labelled=False)) if hasattr(a, "shims")
    )

    assert (action.node, action.uid) == ("a", "uid-a")
    assert dataclasses.is_dataclass(action)
