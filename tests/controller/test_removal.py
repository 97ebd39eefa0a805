"""Cleaning nodes: label off, then Absent, then forgotten."""

import dataclasses

import msgspec
import pytest

from rcm_api import names
from rcm_api.noderuntime import Phase, Wanted
from rcm_controller import actions
from tests.controller import looks, make

SPIN = make.wanted(max_update=2)
ELSEWHERE = make.wanted(max_update=2, selector={"pool": "wasm"})


def asked(**fields):
    return make.entry(SPIN, Wanted.ABSENT, attempt=1, **fields)


def said(phase, **fields):
    has = None if phase is Phase.ABSENT else SPIN
    return make.seen(SPIN, phase, has=has, observed_attempt=1, **fields)


STATES = {
    "has": (make.entry(SPIN), make.seen(SPIN)),
    "fetched": (make.entry(SPIN, Wanted.PREFETCH), make.seen(SPIN, Phase.FETCHED)),
    "busy": (make.entry(SPIN), make.seen(SPIN, Phase.FETCHED)),
    "used": (make.entry(SPIN), make.seen(SPIN, in_use=2)),
    "asked": (asked(), make.seen(SPIN)),
    "silent": (asked(asked_s=1000), make.seen(SPIN)),
    "draining": (asked(asked_s=9000), said(Phase.DRAINING, in_use=2)),
    "hangs": (asked(asked_s=1000), said(Phase.DRAINING)),
    "failed": (asked(asked_s=100), said(Phase.FAILED)),
    "clean": (asked(), said(Phase.ABSENT)),
}


def leaving(view=None, *, down=(), labelled=(), masters=(), classes=(), dead_s=10.0, **states):
    """Return a world whose Shim is being deleted; keywords name nodes by their states."""
    found = {name: state for state, names_ in states.items() for name in names_}
    view = view or make.view(SPIN, deleting=make.ago(2000))
    return make.world(
        shims=[view] if view != "gone" else [],
        nodes=[
            make.node(
                n,
                ready=n not in down,
                ready_changed=make.ago(dead_s),
                control_plane=n in masters,
                ready_for=["spin"] if n in labelled else [],
            )
            for n in sorted(found)
        ],
        runtimes=[make.runtime(n, STATES[found[n]]) for n in sorted(found)],
        classes=classes,
    )


def test_the_label_goes_first():
    world = leaving(has="a", labelled="a")

    assert looks.labels(world) == {"a": {"spin": False}}
    assert looks.removed(world) == []


def test_then_the_node_is_asked_to_clean_up_with_a_new_attempt():
    assert looks.asked(leaving(has="a")) == {"a": (Wanted.ABSENT, 1)}


def test_a_node_is_asked_to_clean_up_unless_it_has_a_label_that_is_not_known_yet():
    first, again = leaving(has="a"), leaving(failed="a")

    found = [looks.of(world, actions.UpdateNodeRuntime) for world in (first, again)]

    assert [[update.unlabelled for update in updates] for updates in found] == [[("spin",)], [()]]


@pytest.mark.parametrize(
    ("states", "down", "expected"),
    [
        pytest.param({"has": "abcd"}, "", 2, id="two at a time"),
        pytest.param({"has": "abcd", "asked": "e"}, "", 1, id="one is at work"),
        pytest.param({"has": "abcd", "draining": "ef"}, "", 0, id="two wait for their pods"),
        pytest.param({"has": "abcd", "silent": "ef"}, "", 2, id="the silent do not count"),
        pytest.param({"has": "abcd", "asked": "ef"}, "ef", 2, id="nor do the dead"),
        pytest.param({"has": "abcd"}, "abcd", 4, id="the dead are asked at once"),
        pytest.param({"fetched": "abcd"}, "", 4, id="nothing is installed"),
        pytest.param({"busy": "abcd"}, "", 0, id="changing ones are not interrupted"),
    ],
)
def test_removing_obeys_the_budget(states, down, expected):
    assert len(looks.removed(leaving(down=down, **states))) == expected


def test_nodes_without_pods_are_cleaned_first():
    assert looks.removed(leaving(used="abcd", has="yz")) == ["y", "z"]


def test_control_planes_are_cleaned_last():
    assert looks.removed(leaving(has="ab", masters="b")) == ["a"]


def test_a_removal_that_failed_is_tried_again():
    assert looks.asked(leaving(failed="a")) == {"a": (Wanted.ABSENT, 2)}


def test_a_clean_node_is_forgotten():
    (action,) = looks.of(leaving(clean="a"), actions.DeleteNodeRuntime)

    assert action.node == "a"


def test_a_clean_entry_goes_and_others_stay():
    other = make.wanted("wasm")
    both = make.runtime("a", STATES["clean"], (make.entry(other), make.seen(other)))
    world = leaving(clean="a")
    world = dataclasses.replace(
        world,
        shims={**world.shims, "wasm": make.view(other)},
        runtimes={"a": both},
    )

    (action,) = looks.of(world, actions.UpdateNodeRuntime)

    assert [e.name for e in action.spec.shims] == ["wasm"]


@pytest.mark.parametrize("paused", [False, True], ids=["", "paused"])
def test_a_node_that_is_not_selected_any_more_is_cleaned(paused):
    manifest = dataclasses.replace(
        ELSEWHERE, rollout=dataclasses.replace(ELSEWHERE.rollout, paused=paused)
    )
    view = make.view(manifest)

    assert looks.labels(leaving(view, has="a", labelled="a")) == {"a": {"spin": False}}
    assert looks.removed(leaving(view, has="a")) == ["a"]


def test_entries_of_a_shim_that_is_gone_are_cleaned():
    assert looks.removed(leaving("gone", has="ab")) in (["a"], ["b"])
    assert looks.asked(leaving("gone", draining="a")) == {}


def test_what_an_earlier_object_installed_is_cleaned_too():
    world = leaving("gone", has="a")
    unasked = make.runtime("a", (None, make.seen(SPIN)))

    assert looks.removed(dataclasses.replace(world, runtimes={"a": unasked})) == ["a"]


def test_an_object_stays_while_the_node_has_what_nobody_asked_about_yet():
    """Its removal waits for the budget, which another node holds."""
    wasm = make.wanted("wasm")
    gone = make.entry(wasm, Wanted.ABSENT, attempt=1)
    cleaned = (gone, make.seen(wasm, Phase.ABSENT, observed_attempt=1))
    brought = make.runtime("b", cleaned, (None, make.seen(SPIN)))
    world = leaving("gone", asked="a", has="b")
    world = dataclasses.replace(world, runtimes={**world.runtimes, "b": brought})
    (action,) = looks.of(world, actions.UpdateNodeRuntime)

    assert (action.node, action.spec.shims) == ("b", ())
    assert not looks.of(world, actions.DeleteNodeRuntime)

    emptied = msgspec.structs.replace(brought, spec=action.spec)
    free = dataclasses.replace(world, runtimes={"b": emptied})

    assert looks.removed(free) == ["b"]


def test_a_node_that_is_selected_again_holds():
    world = leaving(make.view(SPIN), draining="a")

    assert looks.asked(world) == {"a": (Wanted.PREFETCH, 1)}


CLASS = make.runtime_class(SPIN)


@pytest.mark.parametrize(
    ("states", "fields", "expected"),
    [
        pytest.param({}, {}, True, id="no node is left"),
        pytest.param({"has": "a"}, {}, False, id="a node has it"),
        pytest.param({"draining": "a"}, {}, False, id="pods use it"),
        pytest.param({"clean": "a"}, {"labelled": "a"}, False, id="a label is left"),
        pytest.param({"silent": "a"}, {}, True, id="an agent is silent for too long"),
        pytest.param({"hangs": "a"}, {}, True, id="an agent hangs though nothing uses the shim"),
        pytest.param({"asked": "a"}, {"down": "a", "dead_s": 800}, False, id="a dead node"),
        pytest.param({"asked": "a"}, {"down": "a", "dead_s": 901}, True, id="dead for long"),
    ],
)
def test_runtime_class_and_finalizer_go_when_nodes_are_clean_or_dead_for_long(
    states, fields, expected
):
    with_class = leaving(classes=[CLASS], **fields, **states)
    without = leaving(**fields, **states)

    assert bool(looks.of(with_class, actions.DeleteRuntimeClass)) is expected
    assert not looks.of(with_class, actions.SetFinalizer)
    assert bool(looks.of(without, actions.SetFinalizer)) is expected


def test_the_runtime_class_stays_while_any_node_is_labelled():
    world = leaving(classes=[CLASS])
    forged = dataclasses.replace(world, nodes={"a": make.node("a", ready_for=["spin"])})

    assert looks.of(world, actions.DeleteRuntimeClass)
    assert not looks.of(forged, actions.DeleteRuntimeClass)


def test_a_shim_that_was_deleted_a_moment_ago_waits_for_long_dead_nodes():
    view = make.view(SPIN, deleting=make.ago(60))

    assert not looks.of(leaving(view, asked="a", down="a", dead_s=9e5), actions.SetFinalizer)


@pytest.mark.parametrize(("deleted_s", "released"), [(60, False), (1000, True)])
def test_a_node_that_cannot_be_read_holds_a_deletion_as_a_dead_one_does(deleted_s, released):
    world = leaving(make.view(SPIN, deleting=make.ago(deleted_s)), has="a")
    world = dataclasses.replace(world, nodes={}, unread=frozenset("a"))

    assert bool(looks.of(world, actions.SetFinalizer)) is released


@pytest.mark.parametrize(("deleted_s", "released"), [(60, False), (1000, True)])
def test_a_node_whose_node_object_is_not_known_holds_a_deletion_as_a_dead_one_does(
    deleted_s, released
):
    view = make.view(SPIN, deleting=make.ago(deleted_s))
    world = dataclasses.replace(leaving(view, has="a", classes=[CLASS]), nodes={})
    bare = dataclasses.replace(world, classes={})

    assert bool(looks.of(world, actions.DeleteRuntimeClass)) is released
    assert bool(looks.of(bare, actions.SetFinalizer)) is released


def test_the_dead_node_keeps_its_entry():
    world = leaving(asked="a", down="a", dead_s=1000)

    assert looks.asked(world) == {}
    assert not looks.of(world, actions.DeleteNodeRuntime)


def test_finalizers_of_others_are_kept():
    view = make.view(SPIN, deleting=make.ago(60), finalizers=("x/y", names.FINALIZER))

    (action,) = looks.of(leaving(view), actions.SetFinalizer)

    assert (action.present, action.finalizers) == (False, ("x/y", names.FINALIZER))


def test_the_finalizer_stands_before_anything_else_happens():
    world = make.world([make.view(finalizers=())], [make.node("a")])

    assert [type(a).__name__ for a in looks.decide(world)] == ["SetFinalizer"]


def test_a_lost_finalizer_takes_no_label_away():
    world = make.fleet(done="a", view_fields={"finalizers": ()})

    assert [type(a).__name__ for a in looks.decide(world)] == ["SetFinalizer"]


def test_a_deleted_shim_without_our_finalizer_is_not_held():
    world = make.world([make.view(finalizers=(), deleting=make.NOW)], [make.node("a")])

    assert looks.decide(world) == ()


@pytest.mark.parametrize(
    ("states", "down", "expected"),
    [
        pytest.param({"asked": "a"}, "", "Deleting", id="at work"),
        pytest.param({"draining": "a"}, "", "DeletionBlocked", id="pods use the shim"),
        pytest.param({"hangs": "a"}, "", "Deleting", id="no pod is in the way"),
        pytest.param({"asked": "a"}, "a", "DeletionBlocked", id="the node is down"),
        pytest.param({"asked": "a", "draining": "b"}, "", "Deleting", id="one is at work"),
        pytest.param({}, "", "Deleting", id="about to end"),
    ],
)
def test_a_deletion_says_whether_it_waits_for_a_person(states, down, expected):
    assert looks.told(leaving(down=down, **states), "Progressing") == ("True", expected)


def test_a_deletion_names_pods_only_where_there_are_any_and_what_failed():
    found = looks.message(leaving(draining="a", hangs="b", failed="c"), "Progressing")

    assert "Pods still use the shim on a: " in found
    assert " c: " in found
