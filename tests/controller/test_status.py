"""What a Shim says about itself."""

import dataclasses
import json

import msgspec
import pytest

from rcm_api import fields, shim_status
from rcm_api.noderuntime import Phase
from rcm_controller import actions, rollout, status
from tests.controller import looks, make

NEW = make.NEW
PROBLEM = fields.InvalidShim("spec.runtimeClass.handler", "'runc' is reserved", "choose another")


def told(world):
    """Return the reasons of conditions that are True, by type."""
    found = status.statuses(world)["spin"].conditions
    return {c.type: c.reason for c in found if c.status == "True"}


def counts(world):
    found = msgspec.to_builtins(status.statuses(world)["spin"])
    return {k.removeprefix("nodes").lower(): v for k, v in found.items() if k.startswith("nodes")}


def test_every_selected_node_is_counted_once():
    world = make.fleet(
        done="ab", due="cd", blocked="e", fetching="f", busy="g", waiting="h", failed="i",
        stuck="j", unfetched="k", old="l", down="l",
    )  # fmt: skip

    found = counts(world)

    assert found.pop("") == 12
    assert found == {
        "ready": 2, "outdated": 5, "updating": 1, "waiting": 1, "failed": 3,
        "unsupported": 0, "draining": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        pytest.param(make.fleet(done="ab"), {"Ready": "AllNodesReady"}, id="done"),
        pytest.param(
            make.fleet(done="a", old="b", down="b"), {"Ready": "AllNodesReady"}, id="but the dead"
        ),
        pytest.param(make.fleet(), {"Ready": "NoNodes"}, id="no node is selected"),
        pytest.param(
            make.fleet(done="a", busy="b", due="c"),
            {"Progressing": "RollingOut", "Reconciling": "RollingOut"},
            id="under way",
        ),
        pytest.param(
            make.fleet(fetching="ab"),
            {"Progressing": "Fetching", "Reconciling": "Fetching"},
            id="fetching",
        ),
        pytest.param(
            make.fleet(done="a", waiting="b"),
            {"Progressing": "WaitingForPods", "Reconciling": "WaitingForPods"},
            id="at the gate",
        ),
        pytest.param(make.fleet(make.wanted(version="2", paused=True), due="a"), {}, id="paused"),
        pytest.param(
            make.fleet(done="abc", failed="d"),
            {"Progressing": "RollingOut", "Reconciling": "RollingOut", "Degraded": "Retrying"},
            id="one is tried again",
        ),
        pytest.param(
            make.fleet(done="abc", failed="de", due="f"),
            {"Degraded": "RolloutStopped", "Stalled": "RolloutStopped"},
            id="stopped",
        ),
        pytest.param(
            make.fleet(status=make.UNPROVEN, failed="a", due="bc"),
            {"Degraded": "RolloutStopped", "Stalled": "RolloutStopped"},
            id="stopped by its canary",
        ),
        pytest.param(
            dataclasses.replace(make.fleet(done="abc", failed="d"), policy=make.Policy(attempts=1)),
            {"Degraded": "NodesFailed", "Stalled": "NodesFailed"},
            id="left to a person",
        ),
        pytest.param(
            dataclasses.replace(
                make.fleet(done="abc", failed="d", due="e"), policy=make.Policy(attempts=1)
            ),
            {"Degraded": "NodesFailed", "Stalled": "NodesFailed"},
            id="the failed one takes the whole budget",
        ),
        pytest.param(
            dataclasses.replace(
                make.fleet(make.wanted(version="2", max_update=2), done="abc", failed="d", due="e"),
                policy=make.Policy(attempts=1),
            ),
            {
                "Progressing": "RollingOut",
                "Reconciling": "RollingOut",
                "Degraded": "NodesFailed",
            },
            id="the failed one leaves a place",
        ),
    ],
)
def test_the_conditions_that_hold(world, expected):
    expected = {"Pinned": "Given", **expected}

    assert told(world) == expected


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        pytest.param(make.view(problem=PROBLEM, name="spin"), "Invalid", id="invalid"),
        pytest.param(make.view(NEW, deleting=make.ago(60)), "Deleting", id="deleting"),
    ],
)
def test_why_a_shim_is_not_ready(view, reason):
    world = make.world([view], [make.node("a")], [make.runtime("a", make.pair("done"))])

    assert looks.told(world, "Ready") == ("False", reason)


@pytest.mark.parametrize(
    ("world", "kind", "words"),
    [
        pytest.param(
            make.world([make.view(problem=PROBLEM, name="spin")]),
            "Ready",
            ("spec.runtimeClass.handler: 'runc' is reserved. To go on: choose another.",),
            id="invalid: path, problem, advice",
        ),
        pytest.param(
            make.fleet(done="abc", failed="de", due="f"),
            "Degraded",
            ("d: does not start", "e: does not start", "Change the Shim"),
            id="failed: which nodes, their words, what to do",
        ),
        pytest.param(
            make.fleet(failed="abcdefgh"), "Degraded", ("8 nodes", "and 5 more"), id="not all names"
        ),
        pytest.param(
            make.fleet(done="a", waiting="b"), "Progressing", ("Waiting: b", "Allow"), id="waiting"
        ),
        pytest.param(
            make.fleet(make.wanted(version="2", paused=True), due="ab"),
            "Progressing",
            ("2 nodes left", "paused to false"),
            id="paused",
        ),
        pytest.param(
            make.fleet(done="a", old="b", down="b"), "Ready", ("1 of 2", "1 down"), id="down"
        ),
        pytest.param(
            make.fleet(view_fields={"deleting": make.ago(60)}, done="ab", old="c", down="c"),
            "Progressing",
            ("3 nodes not clean: a, b, c", "Down: c", "900 s"),
            id="deleting: what is left, what is not waited for",
        ),
    ],
)
def test_messages_say_what_to_do(world, kind, words):
    found = looks.message(world, kind)

    assert [word for word in words if word not in found] == []


def test_a_budget_that_failed_nodes_hold_is_told():
    world = make.fleet(done="abc", failed="d", due="e")
    spent = dataclasses.replace(world, policy=make.Policy(attempts=1))

    assert looks.activated(spent) == []
    assert looks.told(spent, "Progressing") == ("False", "BudgetSpent")
    assert "raise rolling.maxUpdate" in looks.message(spent, "Degraded")
    assert "maxUpdate" not in looks.message(world, "Degraded")


def test_without_a_supported_node_nothing_is_complete():
    alone = make.runtime("a", (make.entry(NEW, looks.PREFETCH), None), supported=False)
    world = make.world([make.view(NEW)], [make.node("a")], [alone])

    assert looks.told(world, "Progressing") == ("False", "NoSupportedNode")
    assert looks.told(world, "Ready") == ("False", "NoSupportedNode")


def test_a_silent_agent_is_told():
    world = make.fleet(done="a", due="b")
    silent = make.runtime("b", (make.entry(NEW, looks.PREFETCH, asked_s=700), None))
    world = dataclasses.replace(world, runtimes={**world.runtimes, "b": silent})

    assert looks.told(world, "Degraded") == ("True", "AgentSilent")


def test_conditions_carry_the_generation_and_keep_their_time():
    world = make.fleet(done="a", view_fields={"generation": 7})
    first = status.statuses(world)["spin"]
    view = dataclasses.replace(world.shims["spin"], status=first)
    later = dataclasses.replace(world, shims={"spin": view}, now=make.ago(-900))

    assert {c.observed_generation for c in first.conditions} == {first.observed_generation} == {7}
    assert status.statuses(later)["spin"] == first


def settled(world):
    """Return the world with the statuses that were found in it."""
    found = status.statuses(world)
    shims = {n: dataclasses.replace(v, status=found[n]) for n, v in world.shims.items()}
    return dataclasses.replace(world, shims=shims)


def test_a_status_is_written_when_it_changes_and_only_then():
    world = make.fleet(done="ab", due="c")

    assert [w.shim for w in status.writes(world)] == ["spin"]
    assert status.writes(settled(world)) == ()


def test_a_status_survives_the_wire():
    world = settled(make.fleet(done="ab", failed="c"))
    data = msgspec.json.encode(world.shims["spin"].status)

    assert msgspec.json.decode(data, type=shim_status.ShimStatus) == world.shims["spin"].status
    assert all("message" in c for c in json.loads(data)["conditions"])


@pytest.mark.parametrize(
    ("states", "records", "expected"),
    [
        pytest.param({"done": "a", "due": "b"}, (), [0], id="proven now"),
        pytest.param({"busy": "a", "due": "b"}, (), [], id="not yet"),
        pytest.param({"done": "a", "due": "b"}, (NEW, 10), [10], id="soaks since then"),
        pytest.param({"failed": "a", "due": "b"}, (NEW, 10), [], id="failed while it soaked"),
        pytest.param({"failed": "a", "done": "b"}, (NEW, 90), [90], id="proven for good"),
        pytest.param({"done": "a"}, (NEW, -300), [0], id="another leader's clock was ahead"),
        pytest.param({"fetching": "ab"}, (make.OLD, 900), [], id="of a former version"),
    ],
)
def test_canaries_are_remembered_in_the_status(states, records, expected):
    former = make.proven(records[0], at_s=records[1]) if records else make.UNPROVEN
    found = status.statuses(make.fleet(status=former, **states))["spin"].canaries

    assert [(make.NOW - c.ready_at).total_seconds() for c in found] == expected


def test_a_class_needs_as_many_canaries_as_the_manifest_asks():
    manifest = make.wanted(version="2", canary_nodes=2)

    one = make.fleet(manifest, status=make.UNPROVEN, done="a", due="b")
    assert status.statuses(one)["spin"].canaries == ()
    two = make.fleet(manifest, status=make.UNPROVEN, done="ab", due="c")
    assert len(status.statuses(two)["spin"].canaries) == 1
    small = make.fleet(manifest, status=make.UNPROVEN, done="a", old="b", down="b")
    assert len(status.statuses(small)["spin"].canaries) == 1


def events(world):
    told_ = [a for a in rollout.plan(world) if isinstance(a, actions.EmitEvent)]
    return [(a.kind, a.name, a.reason) for a in told_]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(
            make.fleet(done="ab"), make.fleet(fetching="ab"), ["RolloutStarted"], id="started"
        ),
        pytest.param(make.fleet(fetching="ab"), make.fleet(done="a", due="b"), [], id="goes on"),
        pytest.param(
            make.fleet(status=make.UNPROVEN, due="ab"),
            make.fleet(status=make.UNPROVEN, done="a", due="b"),
            ["CanariesProven"],
            id="canaries",
        ),
        pytest.param(
            make.fleet(done="a", due="b"), make.fleet(done="ab"), ["RolloutFinished"], id="finished"
        ),
        pytest.param(
            make.fleet(done="abc", due="def"),
            make.fleet(done="abc", failed="de", due="f"),
            ["RolloutStopped", "ShimRolledBack", "ShimRolledBack"],
            id="stopped, and why at the nodes",
        ),
        pytest.param(
            make.fleet(due="ab"),
            make.fleet(make.wanted(version="2", paused=True), due="ab"),
            ["RolloutPaused"],
            id="paused",
        ),
        pytest.param(
            make.fleet(done="ab"),
            make.fleet(done="ab", view_fields={"deleting": make.NOW}),
            ["Deleting"],
            id="deleted",
        ),
        pytest.param(
            make.fleet(done="ab", view_fields={"deleting": make.NOW}),
            make.fleet(done="a", down="a", view_fields={"deleting": make.NOW}),
            ["DeletionBlocked"],
            id="a deletion that waits for a dead node",
        ),
        pytest.param(
            make.fleet(done="abcd", due="efgh"),
            make.fleet(done="abcde", due="fgh"),
            [],
            id="one more node is no news",
        ),
        pytest.param(
            make.fleet(done="abc", due="defgh"),
            make.fleet(done="abcd", due="efgh"),
            ["RolloutProgress"],
            id="half of them is",
        ),
    ],
)
def test_events_tell_turns(before, after, expected):
    former = status.statuses(before)["spin"]
    canaries = after.shims["spin"].status.canaries
    former = msgspec.structs.replace(former, canaries=canaries)
    view = dataclasses.replace(after.shims["spin"], status=former)
    found = events(dataclasses.replace(after, shims={"spin": view}))

    assert [reason for _, _, reason in found] == expected


def test_no_event_is_told_twice():
    world = make.fleet(done="abc", failed="de", due="f")

    assert events(world) != []
    assert events(settled(world)) == []


def test_a_storm_of_failures_is_a_few_events():
    world = make.fleet(failed=[f"n{i:03}" for i in range(200)])
    nodes = [name for kind, name, _ in events(world) if kind == "Node"]

    assert len(nodes) == 10


def test_a_node_is_told_in_its_own_words():
    world = make.fleet(done="a", failed="b")
    (found,) = (a for a in rollout.plan(world) if getattr(a, "kind", "") == "Node")

    assert (found.reason, found.warning) == ("ShimRolledBack", True)
    assert found.message.endswith("does not start")
    assert make.pair("failed")[1].phase is Phase.ROLLED_BACK
