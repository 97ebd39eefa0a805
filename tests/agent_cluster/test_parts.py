"""The parts of the agent in a cluster that need no host."""

from __future__ import annotations

import base64
import json
import threading
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from rcm_agent import errors, records, report, settings
from rcm_agent.cluster import (
    answers,
    claims,
    decide,
    downloads,
    holding,
    mirror,
    reasons,
    tell,
    telling,
    wanted,
    watchers,
    writer,
)
from rcm_agent.cluster.answers import Answer, Say
from rcm_agent.work import Work
from rcm_api import noderuntime
from rcm_api.client import api, resources
from rcm_api.noderuntime import Phase
from tests.agent_cluster import rig
from tests.fakes.apiserver import model

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def token(claims_):
    middle = base64.urlsafe_b64encode(json.dumps(claims_).encode()).rstrip(b"=").decode()
    return f"Bearer e30.{middle}.c2ln"


@pytest.mark.parametrize(
    ("text", "uid"),
    [
        pytest.param(token({"kubernetes.io": {"node": {"uid": "u-1"}}}), "u-1", id="bound"),
        pytest.param(token({"kubernetes.io": {"namespace": "x"}}), "", id="older Kubernetes"),
        pytest.param(token({}), "", id="somebody else's"),
        pytest.param(token([]), "", id="no object"),
        pytest.param("Bearer abc.!!!.x", "", id="no base64"),
        pytest.param("Bearer opaque", "", id="opaque"),
        pytest.param("", "", id="none"),
    ],
)
def test_the_token_says_on_which_node_we_are(text, uid):
    assert claims.node_uid(text) == uid


@pytest.mark.parametrize("handler", ["runc", "nvidia-x", "kata", "../x", "", "a" * 64, "A"])
def test_what_no_agent_may_install_is_refused(handler):
    entry = msgspec.structs.replace(rig.wanted(), handler=handler)
    with pytest.raises(errors.ManifestError):
        wanted.read(entry)


def test_an_entry_means_what_a_manifest_means():
    entry = msgspec.structs.replace(rig.wanted(sha256="A" * 64), options={"SystemdCgroup": True})
    found = wanted.read(entry)

    assert (found.digest, found.handler) == (entry.digest, "spin")
    assert found.artifact.sha256 == "a" * 64
    assert found.artifact.binary is None
    assert wanted.read(rig.wanted(sha256=""), sha256="b" * 64).artifact.sha256 == "b" * 64
    assert wanted.read(rig.wanted(sha256="")).artifact.sha256 is None


def installed(entry, **more):
    facts = {
        "name": entry.name,
        "handler": entry.handler,
        "wanted": entry.digest,
        "location": "x",
        "artifact": entry.artifact.sha256,
        "binary": "b",
        "path": "/p",
    }
    return records.Installed(**(facts | more))


def known(*entries, have=(), **more):
    stored = more.pop("stored", frozenset(e.artifact.sha256 for e in entries))
    prepared = frozenset((e.name, e.digest) for e in entries)
    return decide.Known(
        asked={e.name: e for e in entries},
        installed={one.name: one for one in have},
        said=more.pop("said", {}),
        stored=stored,
        prepared=more.pop("prepared", prepared),
        **more,
    )


def test_nobody_asks_at_the_gate_unless_a_restart_is_due():
    entry = rig.wanted()

    assert decide.plan(known(entry)).ask_gate
    assert not decide.plan(known(entry, have=[installed(entry)])).ask_gate
    upgrade = installed(entry, wanted="older")
    assert not decide.plan(known(entry, have=[upgrade])).ask_gate
    assert decide.plan(known(entry, have=[upgrade], restarting=frozenset({"spin"}))).ask_gate


def test_an_upgrade_passes_while_an_install_waits():
    old, new = rig.wanted(name="old"), rig.wanted(name="new")
    plan = decide.plan(known(old, new, have=[installed(old, wanted="older")], blockers="a/b"))

    assert (plan.install, plan.allow, plan.waits) == (("old",), False, True)
    assert plan.say["new"] == Say(Phase.WAITING, reasons.IDLE, "a/b")


def test_options_that_change_need_a_restart_and_the_nodes_own_cgroup_driver_does_not():
    entry = rig.wanted()
    followed = installed(entry, wanted="older", options={"SystemdCgroup": True})
    assert not decide.plan(known(entry, have=[followed])).ask_gate
    asked = msgspec.structs.replace(entry, options={"SystemdCgroup": False})
    assert decide.plan(known(asked, have=[followed])).ask_gate


def test_another_handler_waits_until_nobody_uses_the_former():
    entry = rig.wanted(handler="second")
    have = installed(entry, wanted="older", handler="first")
    plan = decide.plan(known(entry, have=[have], users={"first": 2}, blockers=""))

    assert plan.install == ()
    assert plan.say["spin"].phase is Phase.WAITING
    assert decide.plan(known(entry, have=[have], blockers="")).install == ("spin",)


def test_nothing_is_changed_while_containerd_is_down():
    entry = rig.wanted()
    plan = decide.plan(known(entry, down=True))

    assert not plan.acts
    assert plan.say["spin"].reason == reasons.CONTAINERD_DOWN


def test_those_that_failed_together_go_one_by_one_after_the_others():
    entries = [rig.wanted(name=name) for name in ("a", "b", "c")]
    apart = frozenset({"a", "b"})

    assert decide.plan(known(*entries, blockers="", apart=apart)).install == ("c",)
    assert decide.plan(known(*entries[:2], blockers="", apart=apart)).install == ("a",)


def test_what_failed_for_lack_of_restarts_goes_on_when_there_are_some():
    entry = rig.wanted()
    said = {
        "spin": Answer("spin", Phase.FAILED, reasons.BUDGET_SPENT, digest=entry.digest, time=NOW)
    }

    assert not decide.plan(known(entry, said=said, spent=True, blockers="")).acts
    assert decide.plan(known(entry, said=said, blockers="")).install == ("spin",)


def test_the_time_moves_with_phase_and_reason_only():
    entry, later = rig.wanted(), NOW + timedelta(minutes=1)
    first = answers.next_answer(Answer("spin"), entry, Say(Phase.WAITING, "Why", "a"), now=NOW)
    second = answers.next_answer(first, entry, Say(Phase.WAITING, "Why", "b"), now=later)
    third = answers.next_answer(second, entry, Say(Phase.READY), now=later)

    assert (second.time, second.message, third.time) == (NOW, "b", later)


def test_every_error_has_its_word():
    kinds = [errors.FetchError, errors.Degraded, errors.HandlerTaken, errors.BudgetSpent]
    words = {reasons.of(kind("x")) for kind in kinds}

    assert words == {"FetchFailed", "Degraded", "HandlerTaken", "BudgetSpent"}
    assert reasons.of(errors.RolledBack("x"), step="prove") == "ProofFailed"
    assert words <= reasons.ALL


def test_a_shim_that_does_not_work_reports_no_digest():
    entry = rig.wanted()
    story = tell.Story(
        generation=3,
        facts=noderuntime.Facts(),
        answers={"spin": Answer("spin", Phase.APPLYING, digest=entry.digest)},
        installed={"spin": installed(entry)},
        users={"spin": 2},
        dead=frozenset({"spin"}),
    )
    found = tell.status(story, noderuntime.Status(), now=NOW)

    assert (found.shims[0].digest, found.shims[0].handler, found.shims[0].in_use) == ("", "", 2)
    assert found.observed_generation == 3


# --- the status on its way ---


def served():
    server = model.Server()
    client = api.Client(server, manager="x")
    body = {
        "apiVersion": resources.NODERUNTIMES.api_version,
        "kind": "NodeRuntime",
        "metadata": {"name": "n1"},
        "spec": {"nodeUID": "u", "shims": []},
    }
    client.create(resources.NODERUNTIMES, body, decode=api.ignore)
    seen = mirror.Mirror("n1", wake=lambda: None)
    seen.put(client.get(resources.NODERUNTIMES, "n1", decode=bytes))
    made = writer.Writer(client, "n1", seen, random=lambda: 0.5, observer=watchers.Silent())
    return client, seen, made


def stored(client):
    return client.get(resources.NODERUNTIMES, "n1", decode=noderuntime.parse)


def test_fields_that_became_empty_are_removed():
    client, _, made = served()
    facts = noderuntime.Facts(distribution="debian", strategy="drop-in")
    full = noderuntime.Status(
        state="Waiting", reason="Why", restarts=2, facts=facts,
        shims=(noderuntime.ShimObserved("spin", Phase.WAITING, reason="Why"),),
    )  # fmt: skip
    made.offer(full)
    made.step()
    assert stored(client).status == full
    empty = noderuntime.Status(state="Idle", facts=noderuntime.Facts(distribution="debian"))
    made.offer(empty)
    made.step()

    assert stored(client).status == empty


def test_the_same_status_is_sent_once():
    client, _, made = served()
    made.offer(noderuntime.Status(state="Idle"))
    made.step()
    client.patch = None
    for _ in range(3):
        made.offer(noderuntime.Status(state="Idle"))
        assert made.step() == writer.IDLE_S


def test_an_older_state_of_the_object_is_no_news():
    client, seen, made = served()
    old = client.get(resources.NODERUNTIMES, "n1", decode=bytes)
    made.offer(noderuntime.Status(state="Idle"))
    made.step()
    seen.put(old)

    assert seen.get().status.state == "Idle"


def test_our_own_status_wakes_nobody():
    client, _, made = served()
    woken = []
    seen = mirror.Mirror("n1", wake=lambda: woken.append(1))
    seen.put(client.get(resources.NODERUNTIMES, "n1", decode=bytes))
    made.offer(noderuntime.Status(state="Idle"))
    made.step()
    seen.put(client.get(resources.NODERUNTIMES, "n1", decode=bytes))

    assert len(woken) == 1


def test_an_object_that_cannot_be_read_leaves_what_is_known():
    _, seen, _ = served()
    before = seen.get()
    seen.put(b'{"metadata": {"name": "n1"}, "spec": {"shims": 7}}')

    assert seen.get() == before


# --- downloads ---


def working(host):
    return Work(host.ports, None, None, settings.Settings(trust_on_first_use=True), report.Silent())


def test_a_download_that_nobody_wants_ends_at_once():
    host = rig.bare()
    jobs, woken = [], []
    found = downloads.Downloads(
        holding.Lock(), watchers.Silent(), wake=lambda: woken.append(1), run=jobs.append
    )
    one = wanted.read(rig.wanted())
    assert found.start(working(host), one)
    assert not found.start(working(host), one)
    assert found.busy()
    found.only(frozenset())
    for job in jobs:
        job()

    assert (found.take(), woken, found.busy()) == ((), [1], False)


def test_two_downloads_run_at_a_time_and_the_third_follows():
    host, jobs = rig.bare(), []
    found = downloads.Downloads(
        holding.Lock(), watchers.Silent(), wake=lambda: None, run=jobs.append
    )
    for name in ("a", "b", "c"):
        found.start(working(host), wanted.read(rig.wanted(name=name)))
    assert len(jobs) == downloads.AT_A_TIME
    jobs[0]()
    assert len(jobs) == 3
    jobs[1]()
    jobs[2]()

    assert {done.wanted.name for done in found.take()} == {"a", "b", "c"}
    assert all(done.stored is not None for done in [*found.take()])


def test_the_lock_is_held_until_the_last_one_lets_go():
    host = rig.bare()
    ours, other = host.ports, host.agent()
    lock, stranger = holding.Lock(), holding.Lock()
    with lock.held(ours):
        with lock.held(ours):
            pass
        with pytest.raises(errors.Busy), stranger.held(other):
            pass
    with stranger.held(other):
        pass


def test_a_wait_ends_when_nobody_waits_any_more():
    host = rig.bare()
    stop = threading.Event()
    wait = telling.patience(host.ports.machine, stop.is_set)
    wait(1.0)
    stop.set()
    before = host.clock.now
    with pytest.raises(telling.Stopped):
        wait(100.0)

    assert host.clock.now - before < 1


def test_what_containerd_says_fits_into_a_status():
    sandbox, digest = "5" * 64, "d" * 64
    error = errors.CriError(
        f'failed to start sandbox "{sandbox}": exit status 3; the file is {digest}', code="UNKNOWN"
    )

    said = reasons.text(error)
    assert 'sandbox "555555555555": exit status 3' in said
    assert digest in said
