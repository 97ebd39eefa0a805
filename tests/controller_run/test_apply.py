"""Single writes against the model of the API server, and Events."""

import msgspec
import pytest

from rcm_api import names, noderuntime, shim_status
from rcm_api.client import api, errors, resources
from rcm_controller import actions, apply, doubts, leader, metrics, refusals, store, world
from rcm_controller.pending import Outcome, Task
from tests.controller_run import objects
from tests.controller_run.hands import START, Hands
from tests.fakes.apiserver import faulty, model


class Terms:
    """A leadership that tests set."""

    now = 1

    def term(self) -> int:
        return self.now


class Desk:
    def __init__(self):
        self.server = model.Server()
        self.server.namespaces.add("default")
        self.moves = faulty.Faulty(self.server)
        self.time = Hands()
        self.told = metrics.Metrics()
        self.caches = store.Store(told=self.told)
        self.terms: leader.Leadership = Terms()
        self.user = api.Client(self.server, manager="user")
        self.applier = apply.Applier(
            api.Client(self.moves, manager=names.MANAGER),
            self.caches,
            leadership=self.terms,
            time=self.time,
            told=self.told,
        )

    def make(self, resource: resources.Resource, document: dict) -> dict:
        return self.user.create(resource, document, decode=api.document)

    def do(self, action: actions.Action, *, version: str = "") -> Outcome:
        return self.applier.apply(Task(action, 1, version)).outcome

    def found(self, resource: resources.Resource, name: str, namespace: str = "") -> dict:
        return self.server.document(resource, name, namespace)


def node(desk: Desk) -> actions.LabelNode:
    made = desk.make(resources.NODES, objects.node("a"))
    return actions.LabelNode(node="a", uid=made["metadata"]["uid"], shims={"spin": True})


def test_a_task_of_another_term_is_not_sent():
    desk = Desk()
    action = node(desk)
    desk.terms.now = 2

    assert desk.do(action) is Outcome.SKIPPED
    assert desk.moves.asked == 0


def test_labels_are_set_and_removed_and_others_stay():
    desk = Desk()
    action = node(desk)
    desk.do(action)
    labels = desk.found(resources.NODES, "a")["metadata"]["labels"]

    assert labels == {"kubernetes.io/hostname": "a", names.ready_label("spin"): "ready"}

    desk.do(actions.LabelNode(node="a", uid=action.uid, shims={"spin": False}))

    assert desk.found(resources.NODES, "a")["metadata"]["labels"] == {"kubernetes.io/hostname": "a"}


def test_another_node_of_that_name_is_left_alone():
    desk = Desk()
    node(desk)

    stale = actions.LabelNode(node="a", uid="former", shims={"spin": True})

    assert desk.do(stale) is Outcome.CONFLICT
    assert names.ready_label("spin") not in desk.found(resources.NODES, "a")["metadata"]["labels"]


def test_a_label_that_was_decided_before_the_node_changed_is_refused():
    desk = Desk()
    action = node(desk)
    version = desk.found(resources.NODES, "a")["metadata"]["resourceVersion"]
    off = actions.LabelNode(node="a", uid=action.uid, shims={"spin": False})

    assert desk.do(action, version=version) is Outcome.OK
    assert desk.do(off) is Outcome.OK
    assert desk.do(action, version=version) is Outcome.CONFLICT


ENTRY = noderuntime.ShimWanted(
    name="spin",
    handler="spin",
    artifact=noderuntime.Artifact(url="https://example.com/a"),
    digest="d",
    phase=noderuntime.Wanted.ACTIVE,
)


def test_a_noderuntime_is_created_owned_and_emptied():
    desk = Desk()
    spec = noderuntime.Spec(node_uid="u", shims=(ENTRY,))

    assert desk.do(actions.CreateNodeRuntime(node="a", spec=spec)) is Outcome.OK

    meta = desk.found(resources.NODERUNTIMES, "a")["metadata"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": "a", "uid": "u"}
    assert meta["ownerReferences"] == [owner]
    assert desk.caches.runtimes.views()["a"].spec == spec

    version = meta["resourceVersion"]
    empty = noderuntime.Spec(node_uid="u")
    update = actions.UpdateNodeRuntime(node="a", resource_version=version, spec=empty)

    assert desk.do(update) is Outcome.OK
    assert desk.caches.runtimes.views()["a"].spec == empty
    assert desk.do(update) is Outcome.CONFLICT
    assert desk.do(actions.CreateNodeRuntime(node="a", spec=spec)) is Outcome.CONFLICT


def test_a_noderuntime_that_changed_is_not_deleted():
    desk = Desk()
    desk.do(actions.CreateNodeRuntime(node="a", spec=noderuntime.Spec(node_uid="u")))
    meta = desk.found(resources.NODERUNTIMES, "a")["metadata"]
    uid, version = meta["uid"], meta["resourceVersion"]

    stale = actions.DeleteNodeRuntime(node="a", uid=uid, resource_version="1")
    assert desk.do(stale) is Outcome.CONFLICT

    fresh = actions.DeleteNodeRuntime(node="a", uid=uid, resource_version=version)
    assert desk.do(fresh) is Outcome.OK
    assert dict(desk.caches.runtimes.views()) == {}
    assert desk.do(fresh) is Outcome.GONE


CLASS = actions.RuntimeClassSpec(
    name="spin",
    shim="spin-v2",
    shim_uid="shim-uid",
    handler="spin",
    node_selector={names.ready_label("spin-v2"): "ready"},
    tolerations=({"operator": "Exists"},),
    overhead={"podFixed": {"memory": "8Mi"}},
)


def test_a_runtimeclass_is_created_and_foreign_keys_stay_out_of_it():
    desk = Desk()
    desk.do(actions.CreateRuntimeClass(CLASS))
    edit = {
        "scheduling": {"nodeSelector": {"foreign": "key"}},
        "metadata": {"annotations": {"mine": "1"}},
    }
    desk.user.patch(resources.RUNTIMECLASSES, "spin", api.Patch(edit), decode=api.ignore)
    version = desk.found(resources.RUNTIMECLASSES, "spin")["metadata"]["resourceVersion"]

    assert desk.do(actions.UpdateRuntimeClass(CLASS, resource_version="1")) is Outcome.CONFLICT
    assert desk.do(actions.UpdateRuntimeClass(CLASS, resource_version=version)) is Outcome.OK

    found = desk.found(resources.RUNTIMECLASSES, "spin")
    assert found["scheduling"]["nodeSelector"] == CLASS.node_selector
    assert found["metadata"]["annotations"] == {"mine": "1"}
    assert found["metadata"]["labels"] == {"app.kubernetes.io/managed-by": names.MANAGER}
    assert [o["uid"] for o in found["metadata"]["ownerReferences"]] == ["shim-uid"]


def test_a_runtimeclass_is_deleted_in_the_state_that_was_seen():
    desk = Desk()
    desk.do(actions.CreateRuntimeClass(CLASS))
    view = desk.caches.classes.views()["spin"]
    stale = actions.DeleteRuntimeClass("spin", view.uid, "1")
    fresh = actions.DeleteRuntimeClass("spin", view.uid, view.resource_version)

    assert desk.do(stale) is Outcome.CONFLICT
    assert desk.do(fresh) is Outcome.OK
    assert dict(desk.caches.classes.views()) == {}


def shim(desk: Desk, *, finalizers: tuple[str, ...] = ()) -> tuple[str, str]:
    document = objects.shim()
    document["metadata"]["finalizers"] = list(finalizers)
    meta = desk.make(resources.SHIMS, document)["metadata"]
    return meta["uid"], meta["resourceVersion"]


def test_a_finalizer_is_set_beside_others_and_the_last_one_lets_the_shim_go():
    desk = Desk()
    uid, version = shim(desk, finalizers=("other/one",))
    hold = actions.SetFinalizer(shim="spin-v2", uid=uid, present=True, finalizers=("other/one",))

    assert desk.do(hold, version=version) is Outcome.OK

    meta = desk.found(resources.SHIMS, "spin-v2")["metadata"]
    assert meta["finalizers"] == ["other/one", names.FINALIZER]
    assert desk.do(hold, version=version) is Outcome.CONFLICT

    desk.user.delete(resources.SHIMS, "spin-v2")
    meta = desk.found(resources.SHIMS, "spin-v2")["metadata"]
    release = actions.SetFinalizer(
        shim="spin-v2", uid=uid, present=False, finalizers=(names.FINALIZER,)
    )
    assert desk.do(release, version=meta["resourceVersion"]) is Outcome.OK

    assert desk.found(resources.SHIMS, "spin-v2") is None
    assert dict(desk.caches.shims.views()) == {}


def test_a_status_is_replaced_whole():
    desk = Desk()
    uid, version = shim(desk)
    pinned = shim_status.PinnedArtifact(os="linux", arch="amd64", location="l", sha256="s")
    first = shim_status.ShimStatus(nodes=3, artifacts=(pinned,))
    assert desk.do(actions.WriteShimStatus("spin-v2", uid, first), version=version) is Outcome.OK

    second = shim_status.ShimStatus(nodes=4)
    version = desk.caches.shims.versions(["spin-v2"])["spin-v2"]
    assert desk.do(actions.WriteShimStatus("spin-v2", uid, second), version=version) is Outcome.OK
    assert desk.caches.shims.views()["spin-v2"].status == second


def test_a_write_that_changes_nothing_is_told_apart():
    desk = Desk()
    uid, version = shim(desk)
    status = actions.WriteShimStatus("spin-v2", uid, shim_status.ShimStatus(nodes=4))
    desk.do(status, version=version)

    assert (
        desk.do(status, version=desk.caches.shims.versions(["spin-v2"])["spin-v2"]) is Outcome.SAME
    )


def test_a_shim_is_never_thought_gone_because_a_write_did_not_find_it():
    desk = Desk()
    uid, version = shim(desk)
    status = actions.WriteShimStatus("spin-v2", uid, shim_status.ShimStatus(nodes=4))
    desk.do(status, version=version)
    desk.moves.next(faulty.Refuse(404, "NotFound"), times=2)
    hold = actions.SetFinalizer(shim="spin-v2", uid=uid, present=True, finalizers=())

    assert desk.do(status, version=version) is Outcome.GONE
    assert desk.do(hold, version=version) is Outcome.GONE
    assert "spin-v2" in desk.caches.shims.views()


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (faulty.Refuse(429, "TooManyRequests", retry_after_s=3), Outcome.THROTTLED),
        (faulty.Refuse(500, "InternalError"), Outcome.FAILED),
        (faulty.Refuse(401, "Unauthorized"), Outcome.FAILED),
        (faulty.Refuse(403, "Forbidden"), Outcome.REFUSED),
        (faulty.Refuse(422, "Invalid"), Outcome.REFUSED),
        (faulty.NotSent(), Outcome.UNREACHABLE),
    ],
)
def test_every_error_has_its_outcome(fault: faulty.Fault, outcome: Outcome):
    desk = Desk()
    action = node(desk)
    desk.moves.next(fault)

    assert desk.do(action) is outcome
    assert desk.do(action) is Outcome.OK


def test_an_object_is_not_deleted_while_its_node_is_there():
    """Whatever an old list of Nodes says."""
    desk = Desk()
    uid = node(desk).uid
    made = desk.make(resources.NODERUNTIMES, runtime_document())
    meta = made["metadata"]
    delete = actions.DeleteNodeRuntime("a", meta["uid"], meta["resourceVersion"], uid)
    desk.caches.nodes.replace([], version="1")

    assert desk.do(delete) is Outcome.CONFLICT
    assert desk.caches.nodes.views()["a"].uid == uid, "it is known now"

    desk.user.delete(resources.NODES, "a")

    assert desk.do(delete) is Outcome.OK
    assert desk.found(resources.NODERUNTIMES, "a") is None
    assert not desk.caches.nodes.views()


def test_a_node_is_not_asked_to_clean_up_under_a_label_that_is_not_known_yet():
    """A former leader may have set it after our watch of Nodes went silent."""
    desk = Desk()
    label = node(desk)
    version = desk.make(resources.NODERUNTIMES, runtime_document())["metadata"]["resourceVersion"]
    old = desk.found(resources.NODES, "a")
    assert desk.do(label) is Outcome.OK
    desk.caches.nodes.replace(
        [msgspec.json.encode(old)], version=old["metadata"]["resourceVersion"]
    )
    spec = noderuntime.Spec(node_uid=label.uid)
    remove = actions.UpdateNodeRuntime("a", version, spec, unlabelled=("spin",))

    assert desk.do(remove) is Outcome.CONFLICT
    assert "spin" in desk.caches.nodes.views()["a"].marks, "it is known now"

    assert desk.do(actions.LabelNode("a", label.uid, {"spin": False})) is Outcome.OK
    assert desk.do(remove) is Outcome.OK


def runtime_document() -> dict:
    return {
        "apiVersion": names.API_VERSION,
        "kind": "NodeRuntime",
        "metadata": {"name": "a"},
        "spec": {"nodeUID": "u", "shims": []},
    }


@pytest.mark.parametrize(
    ("fault", "doubted"),
    [
        (faulty.NoReply(), True),
        (faulty.NotSent(), True),
        (faulty.Refuse(504, "Timeout"), True),
        (faulty.Refuse(409, "Conflict"), False),
        (faulty.Refuse(429, "TooManyRequests"), False),
    ],
)
def test_what_may_have_been_done_is_read_again(fault: faulty.Fault, doubted: bool):  # noqa: FBT001
    desk = Desk()
    desk.caches.runtimes.replace([], version="1")
    spec = noderuntime.Spec(node_uid="u", shims=(ENTRY,))
    desk.moves.next(fault)
    desk.do(actions.CreateNodeRuntime(node="a", spec=spec))
    asked = desk.moves.asked

    assert desk.applier.doubts.settle() is None
    assert (desk.moves.asked > asked) is doubted
    done = desk.server.document(resources.NODERUNTIMES, "a") is not None
    assert ("a" in desk.caches.runtimes.views()) is done is (fault == faulty.NoReply())
    assert desk.applier.doubts.settle() is None
    assert desk.moves.asked == asked + doubted, "once is enough"


def test_an_object_that_is_gone_since_a_lost_reply_is_forgotten():
    desk = Desk()
    action = node(desk)
    desk.caches.nodes.replace([objects_of(desk, resources.NODES)], version="1")
    desk.moves.next(faulty.NoReply())
    desk.do(action)
    desk.user.delete(resources.NODES, "a")

    assert desk.applier.doubts.settle() is None
    assert not desk.caches.nodes.views()


def objects_of(desk: Desk, resource: resources.Resource) -> bytes:
    (found,) = desk.server.documents(resource)
    return msgspec.json.encode(found)


def test_a_doubt_stays_while_the_server_is_away_and_not_for_one_broken_object():
    desk = Desk()
    action = node(desk)
    desk.moves.next(faulty.NotSent(), times=11)
    desk.do(action)
    for _ in range(10):
        assert isinstance(desk.applier.doubts.settle(), errors.Unreachable)
    desk.moves.next(faulty.Refuse(500, "InternalError"), times=doubts.MOST_TRIES)
    tries = 0
    while desk.applier.doubts.settle() is not None:
        tries += 1

    assert tries == doubts.MOST_TRIES - 1


def event(message: str = "m") -> actions.EmitEvent:
    return actions.EmitEvent(kind="Shim", name="spin", uid="u", reason="Canary", message=message)


def events(desk: Desk) -> list[tuple[str, int]]:
    return [(e["message"], e["count"]) for e in desk.server.documents(resources.EVENTS)]


def test_the_same_news_is_one_event_that_counts():
    desk = Desk()
    for _ in range(5):
        desk.do(event())

    assert events(desk) == [("m", 1)]

    desk.time.seconds += 6
    desk.do(event())

    assert events(desk) == [("m", 2)]


def test_a_new_leader_counts_the_event_of_the_old_one():
    desk = Desk()
    desk.do(event())
    other = Desk()
    other.server = desk.server
    other.moves.inner = desk.server
    other.do(event())

    assert events(desk) == [("m", 2)]


def test_a_storm_of_events_is_cut():
    desk = Desk()
    for number in range(100):
        desk.do(event(f"m{number}"))

    assert len(events(desk)) == 25


def test_a_refusal_becomes_a_condition_once():
    desk = Desk()
    shim(desk)
    desk.caches.shims.replace(
        [msgspec.json.encode(d) for d in desk.server.documents(resources.SHIMS)], version="1"
    )
    seen = desk.caches.world(now=START, policy=world.Policy())
    (write,) = refusals.mark((), {"spin-v2": ("forbidden",)}, seen)

    assert isinstance(write, actions.WriteShimStatus)
    (condition,) = write.status.conditions
    assert (condition.type, condition.reason) == ("Degraded", "WriteRefused")
    assert "forbidden" in condition.message

    version = desk.caches.shims.versions(["spin-v2"])["spin-v2"]
    assert desk.do(write, version=version) is Outcome.OK

    later = desk.caches.world(now=desk.time.now(), policy=world.Policy())
    assert refusals.mark((), {"spin-v2": ("forbidden",)}, later) == []
