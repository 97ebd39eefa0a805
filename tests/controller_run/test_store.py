"""The caches: newer wins, heartbeats are no news, the unreadable stops nobody."""

import json

import pytest

from rcm_api import noderuntime
from rcm_controller import decode, metrics, store, world
from tests.controller_run import objects
from tests.controller_run.hands import START


class Caches:
    def __init__(self):
        self.woken = 0
        self.told = metrics.Metrics()
        self.store = store.Store(told=self.told, wake=self._wake)

    def _wake(self):
        self.woken += 1

    def world(self) -> world.World:
        return self.store.world(now=START, policy=world.Policy())


def node(name: str, version: int, **labels: str) -> bytes:
    found = objects.node(name)
    found["metadata"] |= {"uid": f"uid-{name}", "resourceVersion": str(version), "labels": labels}
    return json.dumps(found).encode()


def runtime(name: str, version: int, **status: object) -> bytes:
    meta = {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}
    return json.dumps({"metadata": meta, "spec": {}, "status": status}).encode()


def shim(version: int = 5, **changes: object) -> bytes:
    found = objects.shim()
    meta = {"uid": "u", "resourceVersion": str(version), "generation": 1}
    found["metadata"] |= {**meta, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return json.dumps(found | changes).encode()


def test_a_heartbeat_gives_the_identical_view_and_wakes_nobody():
    here = Caches()
    here.store.nodes.replace([node("a", 1)], version="1")
    before, woken = here.world().nodes, here.woken
    beat = json.loads(node("a", 2))
    beat["status"]["conditions"][0]["lastHeartbeatTime"] = "2026-01-01T00:05:00Z"
    here.store.nodes.put(json.dumps(beat).encode())

    assert here.woken == woken
    assert here.world().nodes is before


def test_only_what_users_ask_of_shims_is_an_edit():
    here = Caches()
    here.store.shims.replace([shim(5)], version="5")
    known = here.store.edits()
    here.store.shims.put(shim(6, status={"nodes": 3}))
    here.store.nodes.put(node("a", 7))

    assert here.store.edits() == known

    edited = json.loads(shim(8))
    edited["metadata"]["generation"] = 2
    here.store.shims.put(json.dumps(edited).encode())

    assert here.store.edits() == known + 1 == here.store.edits()

    here.store.shims.drop(json.dumps(edited).encode())

    assert here.store.edits() == known + 2


def test_labels_of_all_nodes_share_their_strings():
    here = Caches()
    here.store.nodes.replace([node("a", 1, zone="z" * 9), node("b", 2, zone="z" * 9)], version="2")
    first, second = here.world().nodes.values()

    assert first.labels["zone"] is second.labels["zone"]


@pytest.mark.parametrize(
    ("watched", "replied", "stays"),
    [
        pytest.param(3, 7, "reply", id="the reply overtakes the watch"),
        pytest.param(9, 7, "watch", id="the watch was further"),
    ],
)
def test_of_reply_and_watch_the_newer_one_wins(watched: int, replied: int, stays: str):
    nodes = Caches().store.nodes
    nodes.replace([node("a", 1)], version="1")
    nodes.put(node("a", watched, by="watch"))
    nodes.feed(nodes.read(node("a", replied, by="reply")))

    assert nodes.views()["a"].labels == {"by": stays}

    nodes.put(node("a", 5, by="late"))

    assert nodes.views()["a"].labels != {"by": "late"} or stays == "watch"


def test_a_late_reply_does_not_bring_a_deleted_object_back():
    nodes = Caches().store.nodes
    nodes.replace([node("a", 1)], version="1")
    nodes.drop(node("a", 9))
    nodes.feed(nodes.read(node("a", 7)))

    assert dict(nodes.views()) == {}


def test_a_list_wins_even_when_versions_went_back():
    nodes = Caches().store.nodes
    nodes.replace([node("a", 50, by="future")], version="50")
    nodes.replace([node("a", 3, by="backup")], version="4")
    nodes.put(node("a", 5, by="watch"))

    assert nodes.views()["a"].labels == {"by": "watch"}


def test_a_list_read_beside_the_watch_takes_nothing_back():
    nodes = Caches().store.nodes
    nodes.replace([node(name, 1, by="old") for name in "abc"], version="1")
    nodes.put(node("a", 9, by="watch"))
    nodes.put(node("d", 10, by="watch"))
    nodes.merge([node("a", 5, by="list"), node("b", 6, by="list")], version="8")

    found = {name: view.labels["by"] for name, view in nodes.views().items()}
    assert found == {"a": "watch", "b": "list", "d": "watch"}


def test_a_snapshot_is_never_changed():
    here = Caches()
    here.store.nodes.replace([node("a", 1)], version="1")
    before = here.world().nodes
    here.store.nodes.put(node("b", 2))

    assert set(before) == {"a"}
    assert set(here.world().nodes) == {"a", "b"}


def test_an_answer_of_metadata_only_keeps_the_rest():
    nodes = Caches().store.nodes
    nodes.replace([node("a", 1)], version="1")
    answer = {"metadata": json.loads(node("a", 2, ready="yes"))["metadata"]}
    nodes.feed(nodes.read_with(decode.node_metadata, json.dumps(answer).encode()))

    view = nodes.views()["a"]
    assert (view.labels, view.ready, view.os) == ({"ready": "yes"}, True, "linux")


def test_an_unreadable_status_keeps_the_last_one_that_was_understood():
    here = Caches()
    good = {"name": "spin", "phase": "Ready", "digest": "d"}
    here.store.runtimes.replace([runtime("a", 1, shims=[good])], version="1")
    here.store.runtimes.put(runtime("a", 2, shims=[{"name": "spin", "phase": "Levitating"}]))
    found = here.world().runtimes["a"]

    assert found.metadata.resource_version == "2"
    assert found.status.shims[0].phase is noderuntime.Phase.READY


def test_what_is_not_even_an_object_is_counted_and_left_out():
    here = Caches()
    here.store.nodes.replace([b'{"metadata": 7}', node("a", 1)], version="1")
    here.store.nodes.put(b"[]")

    assert set(here.world().nodes) == {"a"}
    assert b'rcm_unreadable_objects_total{kind="Node"} 2.0' in here.told.text()


def strange(name: str, version: int) -> bytes:
    found = json.loads(node(name, version))
    found["metadata"]["labels"] = ["no", "map"]
    return json.dumps(found).encode()


def test_a_node_that_cannot_be_read_is_known_to_be_there():
    here = Caches()
    here.store.nodes.replace([strange("a", 1), node("b", 1)], version="1")

    assert here.world().unread == {"a"}

    here.store.nodes.put(strange("c", 2))
    here.store.nodes.put(b'{"metadata": 7}')

    assert here.world().unread == {"a", "c", world.UNNAMED}

    here.store.nodes.put(node("a", 3))
    here.store.nodes.drop(strange("c", 4))

    assert here.world().unread == {world.UNNAMED}
    assert set(here.world().nodes) == {"a", "b"}

    here.store.nodes.put(strange("a", 5))

    assert "a" not in here.world().unread, "the view that was is kept"


def test_a_shim_that_cannot_be_read_at_all_is_there():
    here = Caches()
    found = json.loads(shim())
    found["metadata"]["finalizers"] = "none"
    here.store.shims.replace([json.dumps(found).encode()], version="5")
    view = here.world().shims["spin-v2"]

    assert (view.wanted, view.deleting) == (None, None)
    assert "metadata: cannot be read" in str(view.problem)


def test_a_node_without_conditions_is_not_ready():
    here = Caches()
    found = json.loads(node("a", 1))
    found["status"] = {}
    here.store.nodes.replace([json.dumps(found).encode()], version="1")

    assert not here.world().nodes["a"].ready


def test_an_impossible_shim_is_there_with_its_problem():
    here = Caches()
    here.store.shims.replace([shim(spec={"runtimeClass": 5})], version="5")
    view = here.world().shims["spin-v2"]

    assert view.wanted is None
    assert view.problem is not None


def test_a_shim_whose_status_nobody_understands_keeps_the_former_one():
    here = Caches()
    here.store.shims.replace([shim(status={"nodes": 3})], version="5")
    here.store.shims.put(shim(6, status={"nodes": "many"}))

    assert here.world().shims["spin-v2"].status.nodes == 3
    assert here.world().shims["spin-v2"].wanted is not None


def test_synced_means_every_kind():
    caches = Caches().store
    for cache in caches.all():
        assert not caches.synced()
        cache.replace([], version="1")

    assert caches.synced()
