"""RuntimeClasses: created, repaired, adopted, left alone, replaced."""

import pytest

from rcm_api import names
from rcm_controller import actions
from tests.controller import looks, make

SPIN = make.wanted()
MANAGED = {"app.kubernetes.io/managed-by": names.MANAGER}
BARE = {"labels": {}, "owners": (), "node_selector": {}}
CHANGES = (actions.CreateRuntimeClass, actions.UpdateRuntimeClass, actions.DeleteRuntimeClass)


def changes(*classes, manifest=SPIN, nodes=(), runtimes=(), others=(), **fields):
    world = make.world([make.view(manifest, **fields), *others], nodes, runtimes, classes)
    return [type(a).__name__.removesuffix("RuntimeClass") for a in looks.of(world, CHANGES)]


def existing(**fields):
    return make.runtime_class(SPIN, **fields)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        pytest.param((), ["Create"], id="none there"),
        pytest.param((existing(),), [], id="as it shall be"),
        pytest.param((existing(deleting=True),), [], id="on its way out"),
        pytest.param((existing(node_selector={}),), ["Update"], id="edited: no scheduling"),
        pytest.param((existing(tolerations=({"key": "x"},)),), ["Update"], id="edited: toleration"),
        pytest.param(
            (existing(overhead={"podFixed": {"cpu": "1"}}),), ["Update"], id="edited: overhead"
        ),
        pytest.param((existing(labels={}),), ["Update"], id="edited: our label is gone"),
        pytest.param((existing(owners=()),), ["Update"], id="edited: the owner is gone"),
        pytest.param((existing(handler="x"),), ["Delete"], id="handlers cannot be edited"),
        pytest.param((existing(**BARE),), ["Update"], id="adopted: says the same"),
        pytest.param(
            (existing(labels={}, owners=()),), ["Update"], id="adopted: schedules as ours would"
        ),
        pytest.param((existing(**{**BARE, "handler": "x"}),), [], id="foreign: another handler"),
        pytest.param((existing(**{**BARE, "owners": ("x",)}),), [], id="foreign: owned"),
        pytest.param(
            (existing(**{**BARE, "node_selector": {"a": "b"}}),), [], id="foreign: scheduling"
        ),
        pytest.param(
            (existing(**{**BARE, "overhead": {"podFixed": {"cpu": "1"}}}),),
            [],
            id="foreign: overhead",
        ),
        pytest.param(
            (existing(**{**BARE, "labels": {"app.kubernetes.io/managed-by": "Helm"}}),),
            [],
            id="foreign: managed by Helm",
        ),
        pytest.param(
            (existing(**{**BARE, "labels": {"objectset.rio.cattle.io/hash": "1"}}),),
            [],
            id="foreign: put there by k3s",
        ),
    ],
)
def test_what_is_done_about_the_runtime_class(classes, expected):
    assert changes(*classes) == expected


def test_a_foreign_one_is_a_conflict_and_nodes_are_served():
    found = existing(**{**BARE, "owners": ("x",)})
    world = make.world([make.view()], [make.node("a")], [], [found])

    assert looks.told(world, "Conflict") == ("True", "RuntimeClassForeign")
    assert looks.told(world, "Stalled")[0] == "True"
    assert looks.asked(world) != {}


def test_pods_go_where_the_ready_label_is():
    (action,) = looks.of(make.world([make.view()]), actions.CreateRuntimeClass)

    assert dict(action.wanted.node_selector) == {names.ready_label("spin"): names.READY}
    assert (action.wanted.shim_uid, action.wanted.handler) == ("uid-spin", "spin")


MOVED = make.wanted(handler="other")
HAS_OLD = make.runtime("a", (make.entry(SPIN), make.seen(SPIN)))
HAS_NEW = make.runtime("a", (make.entry(MOVED), make.seen(MOVED)))


@pytest.mark.parametrize(
    ("labelled", "runtime", "expected"),
    [
        pytest.param(True, HAS_OLD, [], id="labels first"),
        pytest.param(False, HAS_OLD, ["Delete"], id="then it goes"),
        pytest.param(True, HAS_NEW, ["Delete"], id="a node that has the new handler may stay"),
    ],
)
def test_a_new_handler_replaces_the_runtime_class(labelled, runtime, expected):
    node = make.node("a", ready_for=["spin"] if labelled else [])

    assert changes(existing(), manifest=MOVED, nodes=[node], runtimes=[runtime]) == expected


def test_a_new_name_makes_a_new_one_and_deletes_the_former():
    renamed = make.wanted(runtime_class="fresh")

    assert changes(existing(), manifest=renamed) == ["Create", "Delete"]


def test_another_shims_class_is_left_to_it():
    wasm = make.wanted("wasm")

    assert changes(existing(), make.runtime_class(wasm), others=[make.view(wasm)]) == []


def test_one_that_is_managed_by_us_and_owned_by_nobody_is_not_deleted():
    assert changes(existing(), make.runtime_class(make.wanted("x"), owners=())) == []
