"""Two Shims that want one thing: the older has it."""

import dataclasses

import pytest

from rcm_api.fields import InvalidShim
from rcm_api.noderuntime import Phase, Wanted
from rcm_controller import actions, claims
from tests.controller import looks, make

OLDER = make.wanted("spin", handler="same")
YOUNGER = make.wanted("wasm", handler="same")


def views(*manifests):
    return [make.view(m, age=1000 - i) for i, m in enumerate(manifests)]


@pytest.mark.parametrize(
    ("manifests", "expected"),
    [
        pytest.param((make.wanted("a"), make.wanted("b")), {}, id="nothing in common"),
        pytest.param((OLDER, YOUNGER), {"wasm": ("handler", "same", "spin")}, id="one handler"),
        pytest.param(
            (make.wanted("a", runtime_class="x"), make.wanted("b", runtime_class="x")),
            {"b": ("RuntimeClass", "x", "a")},
            id="one RuntimeClass",
        ),
        pytest.param(
            (
                make.wanted("a", handler="h"),
                make.wanted("b", handler="h", runtime_class="x"),
                make.wanted("c", runtime_class="x"),
            ),
            {"b": ("handler", "h", "a")},
            id="who has nothing takes nothing",
        ),
    ],
)
def test_the_oldest_has_it(manifests, expected):
    found = claims.taken(make.world(reversed(views(*manifests))))

    assert {name: dataclasses.astuple(taken) for name, taken in found.items()} == expected


def test_of_one_age_the_first_by_name_has_it():
    both = [make.view(OLDER), make.view(YOUNGER)]

    assert list(claims.taken(make.world(both))) == ["wasm"]


def test_one_that_is_being_deleted_still_has_it():
    older = make.view(OLDER, age=2000, deleting=make.NOW)

    assert list(claims.taken(make.world([older, make.view(YOUNGER)]))) == ["wasm"]


TYPO = make.view(
    problem=InvalidShim("spec", "is wrong", "mend it"), name="spin", uid="uid-spin", age=2000
)
INSTALLED = make.runtime("a", (make.entry(OLDER), make.seen(OLDER)))


@pytest.mark.parametrize(
    ("runtimes", "classes", "expected"),
    [
        pytest.param([INSTALLED], [], ["wasm"], id="nodes have it"),
        pytest.param([], [make.runtime_class(OLDER)], ["wasm"], id="its RuntimeClass names it"),
        pytest.param([], [], [], id="it has nothing yet"),
    ],
)
def test_a_typo_in_the_older_hands_nothing_over_to_the_younger(runtimes, classes, expected):
    world = make.world([TYPO, make.view(YOUNGER)], [make.node("a")], runtimes, classes)

    assert list(claims.taken(world)) == expected
    if expected:
        assert looks.asked(world, "spin") == looks.asked(world, "wasm") == {}


def rivals(*runtimes):
    return make.world(views(OLDER, YOUNGER), [make.node("a")], runtimes)


def test_the_younger_has_no_effect_and_says_why():
    world = rivals()

    assert looks.told(world, "Conflict", "wasm") == ("True", "HandlerTaken")
    assert looks.told(world, "Ready", "wasm") == ("False", "Conflict")
    assert "'spin'" in looks.message(world, "Conflict", "wasm")
    assert looks.asked(world, "wasm") == {}
    assert [a.wanted.shim for a in looks.of(world, actions.CreateRuntimeClass)] == ["spin"]


def test_what_the_younger_has_elsewhere_stays():
    former = make.wanted("wasm")
    world = rivals(make.runtime("a", (make.entry(former), make.seen(former))))

    assert looks.asked(world, "wasm") == {}
    assert looks.asked(world, "spin") != {}


def test_the_younger_gives_up_a_node_where_the_older_needs_the_handler():
    installed = (make.entry(YOUNGER), make.seen(YOUNGER))
    due = (make.entry(OLDER, Wanted.PREFETCH), make.seen(OLDER, Phase.FETCHED))
    world = rivals(make.runtime("a", due, installed))

    assert looks.removed(world, "wasm") == ["a"]
    assert looks.activated(world, "spin") == []
