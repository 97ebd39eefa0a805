"""Which action goes next: budget, order, one at a time, holds."""

import pytest

from rcm_api import noderuntime, shim_status
from rcm_controller import actions, budget, metrics, order, pace, pending, rhythm, world
from rcm_controller.pending import Outcome, Task
from tests.controller import make
from tests.controller_run.hands import START, Hands, no_chance


class Desk:
    """A `Pending` with its clock."""

    def __init__(self, *, per_s: float = 1000.0):
        self.time = Hands()
        self.limit = budget.Budget(per_s=per_s, time=self.time)
        self.pending = pending.Pending(
            self.limit, time=self.time, random=no_chance, told=metrics.Metrics()
        )

    def put(self, *decided: actions.Action) -> int:
        look = self.pending.look()
        return self.pending.put([Task(action, 1) for action in decided], look=look)

    def take(self) -> Task:
        task = self.pending.take()
        assert isinstance(task, Task), f"waits {task} s"
        return task

    def waits(self) -> float:
        task = self.pending.take()
        assert not isinstance(task, Task), task
        return task


def label(node: str) -> actions.LabelNode:
    return actions.LabelNode(node=node, uid="u", shims={"spin": True})


def update(node: str, *entries: noderuntime.ShimWanted) -> actions.UpdateNodeRuntime:
    return actions.UpdateNodeRuntime(
        node=node, resource_version="1", spec=noderuntime.Spec(node_uid="u", shims=entries)
    )


def test_two_writes_of_one_object_never_run_side_by_side():
    desk = Desk()
    desk.put(label("a"))
    first = desk.take()
    desk.put(label("a"), label("b"))

    assert desk.take().action == label("b")
    assert desk.waits() > 0

    desk.pending.done(first, Outcome.OK)

    assert desk.waits() > 0, "it was decided before the first one was done"

    desk.put(label("a"))

    assert desk.take().action == label("a")


def test_a_plan_from_before_a_write_does_not_repeat_it():
    desk = Desk()
    desk.put(label("a"))
    look = desk.pending.look()
    desk.pending.done(desk.take(), Outcome.OK)

    assert desk.pending.put([Task(label("a"), 1), Task(label("b"), 1)], look=look) == 1
    assert desk.put(label("a")) == 1


def test_a_new_plan_takes_the_place_of_the_former_one():
    desk = Desk()
    desk.put(label("a"), label("b"))
    desk.put(label("c"))

    assert desk.take().action == label("c")
    assert desk.waits() > 0


def test_an_event_stays_until_it_is_told():
    desk = Desk()
    event = actions.EmitEvent(kind="Shim", name="spin", uid="u", reason="R", message="m")
    desk.put(label("a"), event)
    desk.put(label("b"))

    assert [desk.take().action, desk.take().action] == [event, label("b")]
    assert desk.waits() > 0


def test_of_two_actions_on_one_object_the_first_one_counts():
    desk = Desk()

    assert desk.put(update("a"), actions.DeleteNodeRuntime("a", "u", "1")) == 1
    assert desk.take().action == update("a")


def test_the_budget_lets_so_many_through_and_then_one_by_one():
    desk = Desk(per_s=10.0)
    desk.put(*[label(f"n{n}") for n in range(20)])
    for _ in range(10):
        desk.take()

    assert desk.waits() == pytest.approx(0.1)
    desk.time.seconds += 0.1
    desk.take()
    assert desk.waits() == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("outcome", "least_s", "most_s"),
    [
        pytest.param(Outcome.CONFLICT, 0.4, 0.6, id="the watch is a moment behind"),
        pytest.param(Outcome.GONE, 0.4, 0.6, id="gone"),
        pytest.param(Outcome.FAILED, 0.4, 0.6, id="server error"),
        pytest.param(Outcome.UNREACHABLE, 0.4, 0.6, id="unreachable"),
        pytest.param(Outcome.REFUSED, 25, 31, id="a person must act"),
        pytest.param(Outcome.SAME, 25, 31, id="no effect"),
    ],
)
def test_an_object_whose_write_failed_rests(outcome: Outcome, least_s: float, most_s: float):
    desk = Desk()
    desk.put(label("a"))
    desk.pending.done(desk.take(), outcome)
    desk.put(label("a"), label("b"))

    assert desk.take().action == label("b")
    assert least_s < desk.waits() < most_s

    desk.time.seconds += most_s
    desk.take()


def test_a_server_that_wants_fewer_requests_gets_none_for_so_long():
    desk = Desk()
    desk.put(label("a"), label("b"))
    desk.pending.done(desk.take(), Outcome.THROTTLED, wish_s=7.0)

    assert desk.waits() == pytest.approx(7.0)


def test_three_server_errors_in_a_row_stop_everything_for_a_while():
    desk = Desk()
    desk.put(*[label(f"n{n}") for n in range(9)])
    for _ in range(3):
        desk.pending.done(desk.take(), Outcome.UNREACHABLE)

    assert 0 < desk.waits() < 1
    desk.time.seconds += 1
    desk.pending.done(desk.take(), Outcome.OK)
    desk.take()


def test_when_a_refused_write_is_taken_its_whole_kind_tries_again():
    desk = Desk()
    desk.put(label("a"), label("b"))
    for _ in range(2):
        desk.pending.done(desk.take(), Outcome.REFUSED)
    desk.time.seconds += 31
    desk.put(label("a"))
    desk.pending.done(desk.take(), Outcome.REFUSED)
    desk.put(label("a"), label("b"))
    desk.pending.done(desk.take(), Outcome.OK)
    desk.put(label("a"))

    assert desk.take().action == label("a")


def test_an_object_that_is_written_again_and_again_is_slowed_down():
    desk = Desk()
    for _ in range(pending.RESTLESS + 1):
        desk.put(label("a"))
        desk.pending.done(desk.take(), Outcome.OK)
    desk.put(label("a"))

    assert desk.waits() == pytest.approx(pending.REST_S)


def test_what_is_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pending, "MUCH", 5)
    desk = Desk(per_s=100_000.0)
    for number in range(20):
        desk.put(label(f"n{number}"))
        desk.pending.done(desk.take(), Outcome.OK if number % 2 else Outcome.CONFLICT)
        desk.time.seconds += 400

    assert len(desk.pending._written) <= 6
    assert len(desk.pending._holds) <= 6


def test_what_others_wait_for_goes_first():
    prefetch = entry(noderuntime.Wanted.PREFETCH)
    active = entry(noderuntime.Wanted.ACTIVE)
    known = noderuntime.NodeRuntime(
        metadata=noderuntime.Metadata("c"), spec=noderuntime.Spec(shims=(active,))
    )
    seen = world.World(now=START, shims={}, nodes={}, runtimes={"c": known}, classes={})
    finalizer = actions.SetFinalizer(shim="spin", uid="u", present=True, finalizers=())
    event = actions.EmitEvent(kind="Shim", name="spin", uid="u", reason="R", message="m")
    download, canary, same = update("a", prefetch), update("b", active), update("c", active)

    found = order.by_urgency([event, download, same, canary, label("d"), finalizer], seen)

    assert list(found) == [finalizer, label("d"), event, canary, download, same]


def test_one_node_of_a_class_fetches_before_what_many_nodes_wait_for():
    prefetch = entry(noderuntime.Wanted.PREFETCH)
    names = ("master", "down", "first", "second", "arm")
    nodes = {name: make.node(name) for name in names}
    nodes["master"] = make.node("master", control_plane=True)
    nodes["down"] = make.node("down", ready=False)
    known = {name: told(name, "amd64") for name in names} | {"arm": told("arm", "arm64")}
    seen = world.World(now=START, shims={}, nodes=nodes, runtimes=known, classes={})
    asked = {name: update(name, prefetch) for name in names}

    found = order.by_urgency([label("d"), *asked.values()], seen)

    assert found[:3] == [asked["first"], asked["arm"], label("d")]

    fetching = told("second", "amd64", prefetch)
    seen = world.World(
        now=START, shims={}, nodes=nodes, runtimes={**known, "second": fetching}, classes={}
    )

    assert order.by_urgency([label("d"), asked["first"]], seen)[0] == label("d"), "one is enough"

    canary, other = (update(n, entry(noderuntime.Wanted.ACTIVE)) for n in ("second", "first"))

    assert order.by_urgency([label("d"), canary, other], seen) == [canary, label("d"), other]


def test_a_label_comes_off_before_anything_is_asked():
    off = actions.LabelNode(node="z", uid="u", shims={"spin": False})
    active = update("a", entry(noderuntime.Wanted.ACTIVE))
    seen = world.World(now=START, shims={}, nodes={}, runtimes={}, classes={})

    assert order.by_urgency([active, label("b"), off], seen) == [off, label("b"), active]


def told(name: str, arch: str, *asked: noderuntime.ShimWanted) -> noderuntime.NodeRuntime:
    facts = noderuntime.Facts(os="linux", arch=arch, distribution="debian", containerd="2.0.0")
    return noderuntime.NodeRuntime(
        noderuntime.Metadata(name),
        noderuntime.Spec(shims=asked),
        noderuntime.Status(facts=facts),
    )


def test_a_node_is_called_back_before_another_one_is_sent():
    active, prefetch = (
        entry(noderuntime.Wanted.ACTIVE),
        entry(noderuntime.Wanted.PREFETCH),
    )
    meta, spec = noderuntime.Metadata, noderuntime.Spec(shims=(active,))
    failed = noderuntime.ShimObserved(name="spin", phase=noderuntime.Phase.ROLLED_BACK)
    done = noderuntime.ShimObserved(name="spin", phase=noderuntime.Phase.READY)
    known = {
        "a": noderuntime.NodeRuntime(meta("a"), spec, noderuntime.Status(shims=(done,))),
        "b": noderuntime.NodeRuntime(meta("b"), spec, noderuntime.Status(shims=(failed,))),
    }
    seen = world.World(now=START, shims={}, nodes={}, runtimes=known, classes={})
    hold, back, sent = update("a", prefetch), update("b", prefetch), update("c", active)

    assert list(order.by_urgency([hold, back, sent], seen)) == [back, sent, hold]


def entry(phase: noderuntime.Wanted) -> noderuntime.ShimWanted:
    artifact = noderuntime.Artifact(url="https://example.com/a")
    return noderuntime.ShimWanted(
        name="spin", handler="spin", artifact=artifact, digest="d", phase=phase
    )


def test_counts_of_a_shim_are_written_now_and_then_and_news_at_once():
    time = Hands()
    slow = pace.Pace(time=time)
    written = shim_status.ShimStatus(nodes=100)
    passed = 0
    for ready in range(100):
        wanted = shim_status.ShimStatus(nodes=100, nodes_ready=ready + 1)
        if slow.may_write("spin", written, wanted):
            passed += 1
            written = wanted
        time.seconds += 0.2
    news = shim_status.ShimStatus(nodes=100, nodes_ready=100, observed_generation=2)

    assert passed in range(4, 8)
    assert slow.may_write("spin", written, news)
    assert slow.may_write("spin", written, news), "until it is written"


def test_plans_come_at_once_after_silence_and_never_too_often():
    times = rhythm.Rhythm()

    assert times.wait(100.0, changed=False) == 0

    times.planned(100.0, 100.02, busy=True, next_s=None)

    assert times.wait(100.02, changed=True) == pytest.approx(0.4)
    assert times.wait(100.02, changed=False) == pytest.approx(1.0)
    assert times.wait(101.0, changed=True) == 0

    times.planned(150.0, 150.02, busy=True, next_s=None)

    assert times.wait(150.02, changed=True, edited=True) == pytest.approx(rhythm.EDIT_PAUSE_S)

    times.planned(160.0, 161.0, busy=True, next_s=None)

    assert times.wait(161.0, changed=True, edited=True) == pytest.approx(1.0), "half of a core"

    for _ in range(9):
        times.planned(200.0, 200.0, busy=False, next_s=None)

    assert times.wait(200.0, changed=False) == rhythm.IDLE_TICK_S

    times.planned(200.0, 200.0, busy=False, next_s=3.0)

    assert times.wait(200.0, changed=False) == 3.0
