"""The whole controller over a model of the API server that is cut, slow, frozen or says no."""

from datetime import timedelta

import pytest

from rcm_api.client import api, resources
from rcm_api.client.transport import Request
from rcm_controller import rhythm
from tests.controller_run import objects, rig
from tests.fakes.apiserver import faulty, kinds

pytestmark = pytest.mark.timeout(60)


def rolled_out(**options) -> tuple[rig.Rig, rig.Replica]:
    here = rig.Rig(**options)
    replica = here.replica("a")
    here.apply(objects.shim())
    assert here.run(40, until=here.ready), here.condition("Ready")
    return here, replica


def assert_served_once(here: rig.Rig):
    """Each node has the shim after one restart, and a label."""
    assert here.labelled() == set(here.states)
    assert {state.restarts for state in here.states.values()} == {1}


def test_a_rollout_takes_three_writes_per_node_and_a_few_per_shim():
    here, replica = rolled_out(nodes=3)
    found = dict(line.rsplit(" ", 1) for line in rig.writes(replica))

    assert_served_once(here)
    assert found["CreateNodeRuntime ok"] == "3"
    assert found["UpdateNodeRuntime ok"] == "3"
    assert found["LabelNode ok"] == "3"
    assert not [line for line in found if not line.endswith(" ok")]


def test_every_turn_is_told_though_the_budget_is_short():
    here = rig.Rig(nodes=6, writes_per_s=2.0)
    here.replica("a")
    here.apply(objects.shim())

    assert here.run(120, until=here.ready)

    here.run(5)
    told = [event["reason"] for event in here.server.documents(resources.EVENTS)]
    assert {"RolloutStarted", "CanariesProven", "RolloutFinished"} <= set(told)


def test_an_idle_controller_neither_writes_nor_plans_at_heartbeats():
    here, replica = rolled_out()
    here.run(60)
    written, planned = rig.count(replica), rig.plans(replica)
    for _ in range(30):
        heartbeat(here, "worker-1")
        here.run(2)

    assert rig.count(replica) == written
    assert rig.plans(replica) - planned <= 5


def heartbeat(here: rig.Rig, name: str):
    ready = objects.node(name)["status"]["conditions"][0]
    beat = {**ready, "lastHeartbeatTime": f"2026-01-01T00:{here.now // 60:02.0f}:00Z"}
    patch = api.Patch({"status": {"conditions": [beat]}}, subresource="status")
    here.user.patch(resources.NODES, name, patch, decode=api.ignore)


def test_an_edit_reaches_the_first_node_within_a_second():
    here, _replica = rolled_out()
    here.run(30)
    before = [runtime.spec for runtime in here.runtimes()]
    here.apply(objects.shim(2))

    assert here.run(1.0, until=lambda: [r.spec for r in here.runtimes()] != before)


def test_an_edit_does_not_wait_until_the_planner_has_rested(monkeypatch):
    monkeypatch.setattr(rhythm, "PAUSE_S", 5.0)
    here, replica = rolled_out()
    here.run(10)
    label = api.Patch({"metadata": {"labels": {"any": "thing"}}})
    here.user.patch(resources.NODES, "worker-1", label, decode=api.ignore)
    planned = rig.plans(replica)

    assert here.run(1.0, until=lambda: rig.plans(replica) > planned)

    before = [runtime.spec for runtime in here.runtimes()]
    here.apply(objects.shim(2))

    assert here.run(0.5, until=lambda: [r.spec for r in here.runtimes()] != before)


def test_nothing_is_planned_while_a_write_is_in_doubt():
    here, replica = rolled_out()
    here.apply(objects.shim(2, maxUpdate=1))
    away = False

    def decide(request: Request) -> faulty.Fault | None:
        nonlocal away
        away = away or faulty.writes(request)
        return faulty.NotSent() if away and "watch" not in request.query else None

    replica.moves.decide = decide
    here.run(5)
    planned = rig.plans(replica)
    here.run(10)

    assert away
    assert rig.plans(replica) == planned

    replica.moves.decide = lambda _request: None

    assert here.run(60, until=here.ready)


FAULTS = {
    "conflict": faulty.Refuse(409, "Conflict"),
    "throttled": faulty.Refuse(429, "TooManyRequests", retry_after_s=1),
    "failed": faulty.Refuse(500, "InternalError"),
    "unavailable": faulty.Refuse(503, "ServiceUnavailable"),
    "not sent": faulty.NotSent(),
    "no reply": faulty.NoReply(),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_any_write_may_fail_and_the_end_is_the_same(fault: faulty.Fault):
    index = 0
    while one_fails(fault, index):
        index += 1

    assert index > 8


def one_fails(fault: faulty.Fault, index: int) -> bool:
    """Let one write fail; whether there were that many."""
    here = rig.Rig(nodes=2)
    replica = here.replica("a")
    asked = 0

    def decide(request: Request) -> faulty.Fault | None:
        nonlocal asked
        if not faulty.writes(request):
            return None
        asked += 1
        return fault if asked == index + 1 else None

    replica.moves.decide = decide
    here.apply(objects.shim())

    assert here.run(90, until=here.ready), (index, here.condition("Ready"))
    assert_served_once(here)
    return asked > index


def test_an_api_server_that_is_away_for_an_hour_is_asked_seldom_and_then_served():
    here, replica = rolled_out()
    replica.moves.decide = lambda _request: faulty.NotSent()
    asked = replica.moves.asked
    here.apply(objects.shim(2))
    here.run(600)

    assert replica.moves.asked - asked < 400

    replica.moves.decide = lambda _request: None

    assert here.run(120, until=here.ready)


def test_a_frozen_watch_is_found():
    here, _replica = rolled_out()
    for kind in (resources.NODERUNTIMES, resources.SHIMS):
        here.server.weather[kind].frozen = True
    here.run(5)
    here.apply(objects.shim(2))
    here.run(20)
    for kind in (resources.NODERUNTIMES, resources.SHIMS):
        here.server.weather[kind].frozen = False

    assert here.run(120, until=here.ready)


def test_forgotten_history_is_listed_anew():
    here, replica = rolled_out()
    here.server.weather[resources.NODERUNTIMES].broken = True
    here.run(5)
    here.apply(objects.shim(2))
    here.run(5)
    here.server.compact()
    here.server.weather[resources.NODERUNTIMES].broken = False

    assert here.run(60, until=here.ready)
    assert replica.followers[resources.NODERUNTIMES].health.lists == 2


def test_events_that_come_twice_change_nothing():
    here = rig.Rig()
    here.replica("a")
    for kind in (resources.NODERUNTIMES, resources.SHIMS, resources.NODES):
        here.server.weather[kind].repeat = 3
    here.apply(objects.shim())

    assert here.run(60, until=here.ready)
    assert_served_once(here)


def test_our_kinds_may_be_deleted_and_come_back():
    here, _replica = rolled_out()
    for resource in (resources.SHIMS, resources.NODERUNTIMES):
        here.server.undefine(resource)
    here.run(60)
    for resource in (resources.SHIMS, resources.NODERUNTIMES):
        here.server.define(kinds.custom(resource))
    here.apply(objects.shim())

    assert here.run(120, until=here.ready)


def test_an_etcd_that_was_restored_from_a_backup_is_believed():
    here, _replica = rolled_out()
    backup = here.server.etcd.revision
    here.apply(objects.shim(2))
    assert here.run(60, until=here.ready)
    here.server.restore(backup)

    assert here.run(200, until=lambda: here.ready() and len(here.labelled()) == 3)


def test_a_refused_write_shows_in_the_shim_and_is_over_when_it_is_allowed():
    here = rig.Rig()
    replica = here.replica("a")
    forbidden = faulty.Refuse(403, "Forbidden")

    def decide(request: Request) -> faulty.Fault | None:
        labels = request.method == "PATCH" and "/nodes/" in request.path
        return forbidden if labels else None

    replica.moves.decide = decide
    here.apply(objects.shim())

    assert here.run(60, until=lambda: here.condition("Degraded") == "True WriteRefused")
    written = rig.count(replica)
    here.run(120)
    assert rig.count(replica) - written < 40

    replica.moves.decide = lambda _request: None

    assert here.run(700, until=here.ready)
    assert here.run(60, until=lambda: here.condition("Degraded").startswith("False"))


def test_a_refused_finalizer_shows_too_and_nothing_else_is_done():
    here = rig.Rig()
    replica = here.replica("a")
    shim = "/shims/spin-v2"
    replica.moves.decide = lambda request: (
        faulty.Refuse(403, "Forbidden")
        if request.method == "PATCH" and request.path.endswith(shim)
        else None
    )
    here.apply(objects.shim())

    assert here.run(60, until=lambda: here.condition("Degraded") == "True WriteRefused")
    assert here.runtimes() == []


def test_an_unreadable_status_of_one_node_does_not_stop_the_others():
    here, replica = rolled_out()
    here.agents_live = False
    strange = {"shims": [{"name": "spin-v2", "phase": "Levitating"}]}
    here.user.patch(
        resources.NODERUNTIMES,
        "worker-0",
        api.Patch({"status": strange}, subresource="status"),
        decode=api.ignore,
    )
    here.run(5)

    assert here.labelled() == set(here.states)
    assert b'rcm_unreadable_objects_total{kind="NodeRuntime"} 1.0' in replica.told.text()


def test_an_impossible_shim_says_so_and_does_nothing():
    here = rig.Rig()
    here.replica("a")
    bad = objects.shim()
    bad["spec"]["runtimeClass"]["handler"] = "runc"
    here.apply(bad)

    assert here.run(10, until=lambda: here.condition("Ready") == "False Invalid")
    assert here.runtimes() == []


def test_another_replica_acts_within_twenty_seconds_whatever_the_clocks_say():
    here = rig.Rig(nodes=4, elect=True)
    first = here.replica("a")
    here.run(1)
    second = here.replica("b")
    second.clock.skew = timedelta(minutes=-5)
    here.apply(objects.shim(maxUpdate=1))
    assert here.run(30, until=lambda: len(here.labelled()) == 1)
    first.alive = False
    died = here.now

    assert here.run(20, until=lambda: rig.count(second) > 0)
    assert here.now - died > 10
    assert here.run(60, until=here.ready)
    assert_served_once(here)


def test_a_lease_that_was_given_back_is_taken_at_once():
    here = rig.Rig(elect=True)
    first, second = here.replica("a"), here.replica("b")
    here.run(2)
    assert first.elector.term() == 1
    first.alive = False
    first.elector.release()

    assert here.run(1.5, until=lambda: second.elector.term() == 1)


def test_a_leader_that_slept_writes_nothing_when_it_wakes():
    here = rig.Rig(elect=True)
    first, second = here.replica("a"), here.replica("b")
    here.apply(objects.shim(maxUpdate=1))
    here.run(30, until=lambda: len(here.labelled()) == 1)
    first.alive = False
    here.run(30, until=lambda: second.elector.term() == 1)
    written = rig.count(first)
    first.alive = True
    here.run(60, until=here.ready)

    assert rig.count(first) == written
    assert_served_once(here)


def test_a_leader_without_a_server_stops_itself_before_another_may_begin():
    here = rig.Rig(elect=True)
    first, second = here.replica("a"), here.replica("b")
    here.run(2)
    first.moves.decide = lambda request: faulty.NotSent() if "leases" in request.path else None

    assert here.run(20, until=lambda: second.elector.term() == 1)
    assert first.elector.term() == 0


def test_a_term_begins_with_a_fresh_look_however_often_it_fails():
    here = rig.Rig()
    replica = here.replica("a")
    here.apply(objects.shim())
    broken = [True] * 6
    replica.moves.decide = lambda request: (
        faulty.NotSent() if replica.caches.synced() and faulty.lists(request) and broken else None
    )
    here.run(5)

    assert here.runtimes() == []

    broken.clear()

    assert here.run(60, until=here.ready)


def test_a_new_leader_knows_all_that_the_former_one_wrote():
    """A RuntimeClass that it did not know would stay behind when its Shim goes."""
    here = rig.Rig(elect=True)
    here.replica("a")
    second = here.replica("b")
    listed: set[str] = set()
    here.run(5)

    def see(request):
        if faulty.lists(request):
            listed.add(request.path.rpartition("/")[2])

    second.moves.decide = see
    here.replicas[0].alive = False
    here.run(30, until=lambda: second.elector.term() > 0)
    here.run(1)

    assert {"shims", "noderuntimes", "runtimeclasses"} <= listed


def test_never_do_two_replicas_lead():
    here = rig.Rig(elect=True)
    replicas = [here.replica(name) for name in "abc"]
    both = False
    for turn in range(8):
        replicas[turn % 3].alive = False
        for _ in range(300):
            here.run(0.1)
            both = both or sum(r.elector.term() > 0 for r in replicas) > 1
        replicas[turn % 3].alive = True

    assert not both
