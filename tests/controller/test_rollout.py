"""Whole stories, from the first look to the last (faults.md E and G)."""

import dataclasses

import msgspec
import pytest

from rcm_api import fields, shim
from rcm_api.noderuntime import Phase, Wanted
from rcm_controller import actions, rollout
from tests.controller import make
from tests.controller.cluster import Cluster

OLD, NEW = make.OLD, make.NEW


def names(count):
    return [f"n{i:02}" for i in range(count)]


def cluster(count=10, manifest=OLD, *, masters=(), **fields_):
    """Return a cluster on which `manifest` is rolled out already."""
    nodes = [make.node(n, control_plane=n in masters) for n in names(count)]
    found = Cluster(make.world([make.view(manifest, finalizers=())], nodes), **fields_)
    found.run()
    found.done.clear()
    return found


def states(found, shim_="spin"):
    return {n: r.observed(shim_) for n, r in found.world.runtimes.items()}


def changed(found):
    """Return the nodes that were asked to change, in order, once each."""
    updates = (a for a in found.done if isinstance(a, actions.UpdateNodeRuntime))
    active = [a.node for a in updates if any(e.phase is Wanted.ACTIVE for e in a.spec.shims)]
    return list(dict.fromkeys(active))


def told(found, shim_="spin"):
    return found.world.shims[shim_].status


def test_an_install_ends_with_every_node_ready_and_labelled():
    found = cluster(12)

    assert told(found).nodes_ready == 12
    assert all(n.marks == {"spin": "ready"} for n in found.world.nodes.values())
    assert rollout.plan(found.world) == ()


def test_an_upgrade_costs_two_writes_to_each_node():
    found = cluster(20)
    found.edit(NEW)
    found.run()

    writes = [a for a in found.done if isinstance(a, actions.UpdateNodeRuntime)]
    assert told(found).nodes_ready == 20
    assert len(writes) == 40
    assert not any(isinstance(a, actions.LabelNode) for a in found.done)


def test_a_release_that_always_fails_touches_its_canary_only():
    bad = make.digest(NEW)
    found = cluster(20, fails=lambda _, entry: entry.digest == bad)
    found.edit(NEW)
    found.run()

    assert len(changed(found)) == 1
    assert told(found).nodes_failed == 1
    assert all(n.marks == {"spin": "ready"} for n in found.world.nodes.values())
    assert {s.digest for s in states(found).values()} == {make.digest(OLD)}


def test_a_changed_spec_begins_with_canaries_again():
    found = cluster(20)
    found.edit(NEW)
    for _ in range(6):
        found.look()
        found.answer()
        found.pass_time(31)
    found.done.clear()
    found.edit(make.wanted(version="3"))
    found.answer()
    found.look()
    found.answer()
    found.done.clear()
    found.look()

    assert len(changed(found)) == 1


def test_going_back_to_the_former_version_confirms_what_nodes_have():
    bad = make.digest(NEW)
    found = cluster(20, fails=lambda _, entry: entry.digest == bad)
    found.edit(NEW)
    found.run()
    found.edit(OLD)
    found.done.clear()
    found.look()

    updates = [a for a in found.done if isinstance(a, actions.UpdateNodeRuntime)]
    assert len(updates) == 20
    assert {e.phase for a in updates for e in a.spec.shims} == {Wanted.ACTIVE}
    found.run()
    assert told(found).nodes_ready == 20


def test_a_new_leader_goes_on_where_the_old_one_died():
    found = cluster(20)
    found.edit(NEW)
    spent = 0
    for step in range(100):
        plan = rollout.plan(found.world)
        for action in plan[: 1 + step % 3]:  # killed in the middle of its plan
            found.carry_out(action)
        found.answer()
        found.pass_time(10)
        spent = max(spent, told(found).nodes_updating)

    assert told(found).nodes_ready == 20
    assert spent <= 2


def test_attempts_survive_a_failover():
    bad = make.digest(NEW)
    found = cluster(5, fails=lambda _, entry: entry.digest == bad)
    found.edit(NEW)
    for _ in range(40):  # every look is another leader: nothing but the objects is kept
        found.look()
        found.answer()
        found.pass_time(61)

    attempts = [r.spec.shims[0].attempt for r in found.world.runtimes.values()]
    assert sorted(attempts) == [0, 0, 0, 0, 2]


def test_a_shim_that_is_deleted_in_the_middle_of_a_rollout_leaves_nothing():
    found = cluster(10)
    found.edit(NEW)
    for _ in range(4):
        found.look()
        found.answer()
        found.pass_time(31)
    found.delete("spin")
    found.run()

    assert not found.world.shims
    assert not found.world.runtimes
    assert not found.world.classes
    assert not any(n.marks for n in found.world.nodes.values())


def test_deleted_and_made_again_under_the_same_name_it_starts_anew():
    found = cluster(5)
    found.delete("spin")
    found.run()
    again = make.view(OLD, uid="uid-again", finalizers=())
    found.put("shims", spin=again)
    found.run()

    assert told(found).nodes_ready == 5
    assert found.world.classes["wasmtime-spin"].owners == ("uid-again",)


def test_a_deletion_with_dead_nodes_ends_and_they_clean_themselves_later():
    found = cluster(10)
    dead = found.world.nodes["n03"]
    down = msgspec.structs.replace(dead, ready=False, ready_changed=found.world.now)
    found.put("nodes", n03=down)
    found.delete("spin")
    found.run(seconds=60)

    assert "spin" in found.world.shims
    found.pass_time(901)
    found.run(seconds=60)
    assert not found.world.shims
    assert list(found.world.runtimes) == ["n03"]
    assert found.world.runtimes["n03"].spec.shims[0].phase is Wanted.ABSENT
    found.put("nodes", n03=make.node("n03", uid=dead.uid))
    found.run()
    assert not found.world.runtimes


def test_nodes_that_are_not_selected_any_more_are_cleaned_in_the_middle_of_a_rollout():
    found = cluster(10)
    for name in ("n01", "n02"):
        node = found.world.nodes[name]
        labels = {**node.labels, "pool": "wasm"}
        found.put("nodes", **{name: make.node(name, labels=labels)})
    found.edit(NEW)
    found.look()
    found.answer()
    found.edit(make.wanted(version="2", selector={"pool": "wasm"}))
    found.run()

    assert sorted(found.world.runtimes) == ["n01", "n02"]
    assert told(found).nodes_ready == told(found).nodes == 2


def test_a_tenth_of_dead_nodes_holds_a_rollout_of_a_tenth_and_says_so():
    found = cluster(10)
    dead = found.world.nodes["n03"]
    found.put("nodes", n03=msgspec.structs.replace(dead, ready=False))
    found.edit(NEW)
    found.run()

    assert changed(found) == []
    ready = next(c for c in told(found).conditions if c.type == "Ready")
    assert "1 down" in ready.message


def test_with_room_for_dead_nodes_the_others_are_updated():
    wide = make.wanted(version="2", max_update="20%")
    found = cluster(10)
    dead = found.world.nodes["n03"]
    found.put("nodes", n03=msgspec.structs.replace(dead, ready=False))
    found.edit(wide)
    found.run()

    assert told(found).nodes_ready == 9
    assert "n03" not in changed(found)


def test_a_node_that_flaps_is_written_to_no_more_often():
    found = cluster(10)
    for step in range(20):
        node = found.world.nodes["n03"]
        found.put("nodes", n03=msgspec.structs.replace(node, ready=bool(step % 2)))
        found.look()
        found.pass_time(60)

    assert found.done == []


def test_nodes_that_come_are_served_without_new_canaries():
    found = cluster(3)
    found.put("nodes", **{f"m{i}": make.node(f"m{i}") for i in range(50)})
    found.run()

    assert told(found).nodes_ready == 53


def test_nodes_that_go_take_their_objects_along():
    found = cluster(3)
    found.put("nodes", n01=None)
    found.run()

    assert sorted(found.world.runtimes) == ["n00", "n02"]
    assert told(found).nodes == 2


def test_a_node_that_comes_back_as_another_machine_is_served_anew():
    found = cluster(3)
    found.put("nodes", n01=make.node("n01", uid="another"))
    found.run()

    assert found.world.runtimes["n01"].spec.node_uid == "another"
    assert told(found).nodes_ready == 3


def test_control_planes_change_last_and_never_together():
    masters = ("n00", "n01", "n02")
    found = cluster(6, masters=masters)
    found.edit(make.wanted(version="2", max_update="100%"))
    together = []
    for _ in range(20):
        found.done.clear()
        found.look()
        together.append([n in masters for n in changed(found)])
        found.answer()
        found.pass_time(31)

    assert [t for t in together if t] == [[False], [False, False], [True], [True], [True]]
    assert told(found).nodes_ready == 6


def test_a_fleet_of_two_architectures_has_a_canary_of_each():
    arm = dataclasses.replace(OLD.artifacts[0], arch="arm64", sha256=make.sha("arm"))
    manifest = dataclasses.replace(OLD, artifacts=(*OLD.artifacts, arm))
    nodes = [make.node(n, arch="arm64" if n > "n04" else "amd64") for n in names(10)]
    facts = {
        n: msgspec.structs.replace(make.FACTS, arch="arm64" if n > "n04" else "amd64")
        for n in names(10)
    }
    wide = dataclasses.replace(manifest, rollout=shim.Rollout(max_update=9))
    found = Cluster(make.world([make.view(wide)], nodes), facts=facts)
    found.look()
    found.answer()
    found.done.clear()
    found.look()

    assert sorted(n > "n04" for n in changed(found)) == [False, True]
    found.run()
    assert told(found).nodes_ready == 10
    assert len(told(found).canaries) == 2


def test_two_new_shims_change_each_node_once():
    both = [make.wanted(n, max_update=3) for n in ("spin", "wasm")]
    nodes = [make.node(n) for n in names(9)]
    found = Cluster(make.world([make.view(m) for m in both], nodes))
    found.run()

    updates = [a for a in found.done if isinstance(a, actions.UpdateNodeRuntime)]
    together = [a for a in updates if {e.phase for e in a.spec.shims} == {Wanted.ACTIVE}]
    assert len(together) == len(updates) == 9


def test_without_a_hash_every_node_gets_the_first_ones():
    trusting = make.wanted(sha256=None)
    found = cluster(5, trusting)
    entries = [r.spec.shims[0] for r in found.world.runtimes.values()]

    assert len({e.artifact.sha256 for e in entries}) == 1
    assert entries[0].artifact.sha256 == told(found).artifacts[0].sha256
    assert {s.digest for s in states(found).values()} == {entries[0].digest}


def test_a_runtime_class_that_was_deleted_by_hand_comes_back():
    found = cluster(2)
    found.put("classes", **{"wasmtime-spin": None})
    found.run()

    assert found.world.classes["wasmtime-spin"].handler == "spin"


def test_a_handler_that_changes_ends_with_the_new_one_everywhere():
    found = cluster(5)
    found.edit(make.wanted(version="2", handler="other"))
    found.run()

    assert found.world.classes["wasmtime-spin"].handler == "other"
    assert {s.handler for s in states(found).values()} == {"other"}
    assert all(n.marks == {"spin": "ready"} for n in found.world.nodes.values())


def test_objects_that_were_all_deleted_are_made_again_without_a_change_on_a_node():
    found = cluster(5)
    kept = {n: r.status for n, r in found.world.runtimes.items()}
    found.put("runtimes", **dict.fromkeys(found.world.runtimes))
    found.look()
    for name, runtime in found.world.runtimes.items():
        found.put("runtimes", **{name: msgspec.structs.replace(runtime, status=kept[name])})
    found.run()

    assert told(found).nodes_ready == 5
    assert {s.phase for s in states(found).values()} == {Phase.READY}


MANIFEST = {
    "apiVersion": "runtime.spinkube.dev/v1alpha1",
    "kind": "Shim",
    "metadata": {"name": "spin"},
    "spec": {
        "fetchStrategy": {
            "platforms": [
                {
                    "os": "linux",
                    "arch": "amd64",
                    "location": "https://example.com/spin.tar.gz",
                    "sha256": make.sha("x"),
                }
            ]
        },
        "runtimeClass": {"name": "spin", "handler": "spin"},
    },
}


def parsed(max_update):
    strategy = {"type": "rolling", "rolling": {"maxUpdate": max_update}}
    return shim.parse({**MANIFEST, "spec": {**MANIFEST["spec"], "rolloutStrategy": strategy}})


@pytest.mark.parametrize("most", [0, -1, "abc", "0%", "101%", 1e9, True])
def test_a_budget_that_means_nothing_is_refused(most):
    with pytest.raises(fields.InvalidShim, match="maxUpdate"):
        parsed(most)


@pytest.mark.parametrize(("most", "at_once"), [("100%", 6), (1_000_000, 6), ("1%", 1), (1, 1)])
def test_a_budget_at_its_bounds_works(most, at_once):
    manifest = parsed(most)
    status = make.proven(manifest)
    nodes = [make.node(n) for n in names(6)]
    found = Cluster(make.world([make.view(manifest, status=status)], nodes))
    found.look()
    found.answer()
    found.done.clear()
    found.look()

    assert len(changed(found)) == at_once
