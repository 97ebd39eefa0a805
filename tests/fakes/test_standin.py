"""The stand-in agent answers as `standin` says it does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from rcm_api import noderuntime
from rcm_api.noderuntime import Phase, Wanted
from tests.fakes import standin

NOW = datetime(2026, 1, 1, tzinfo=UTC)
URL = "https://example.com/shim.tar.gz"


def after(seconds):
    return NOW + timedelta(seconds=seconds)


def wanted(phase=Wanted.ACTIVE, digest="d1", *, name="spin", attempt=0, url=URL):
    return noderuntime.ShimWanted(
        name=name,
        handler=name,
        artifact=noderuntime.Artifact(url=url, sha256=standin.content(url)),
        digest=digest,
        phase=phase,
        attempt=attempt,
    )


def node(**more):
    return standin.NodeState(name="n1", uid="u1", **more)


class Machine:
    """A node and its object, stepped through time."""

    def __init__(self, state):
        self.state = state
        self.runtime = noderuntime.NodeRuntime(
            metadata=noderuntime.Metadata(name="n1", generation=1),
            spec=noderuntime.Spec(node_uid="u1"),
        )

    def ask(self, *shims):
        metadata = msgspec.structs.replace(
            self.runtime.metadata, generation=self.runtime.metadata.generation + 1
        )
        spec = noderuntime.Spec(node_uid=self.runtime.spec.node_uid, shims=shims)
        self.runtime = msgspec.structs.replace(self.runtime, metadata=metadata, spec=spec)

    def at(self, seconds):
        self.state, status = standin.step(self.state, self.runtime, after(seconds))
        if status is not None:
            self.runtime = msgspec.structs.replace(self.runtime, status=status)
        return [entry.phase for entry in self.runtime.status.shims]

    def entry(self):
        return self.runtime.status.shims[0]


def test_a_node_fetches_applies_and_is_ready():
    machine = Machine(node())
    machine.ask(wanted(Wanted.PREFETCH))

    assert machine.at(0) == [Phase.FETCHING]
    assert machine.runtime.status.facts.distribution == "debian"
    assert machine.at(1) == [Phase.FETCHED]
    machine.ask(wanted())
    assert machine.at(2) == [Phase.APPLYING]
    assert machine.at(5) == [Phase.READY]
    assert (machine.entry().digest, machine.entry().handler) == ("d1", "spin")
    assert machine.state.restarts == 1
    assert standin.step(machine.state, machine.runtime, after(9))[1] is None


def test_another_nodes_object_is_ignored():
    machine = Machine(standin.NodeState("n1", "u2"))

    assert machine.at(0) == []
    assert machine.runtime.status == noderuntime.Status()


def installed(**more):
    machine = Machine(node(**more))
    machine.ask(wanted())
    for seconds in (0, 1, 4):
        machine.at(seconds)
    assert machine.entry().digest == "d1"
    return machine


def test_an_upgrade_needs_no_restart_and_keeps_the_former_until_it_is_proven():
    machine = installed()
    machine.ask(wanted(digest="d2", url=URL + "2"))

    assert machine.at(10) == [Phase.FETCHING]
    assert machine.at(11) == [Phase.APPLYING]
    assert machine.entry().digest == "d1"
    assert machine.at(14) == [Phase.READY]
    assert (machine.entry().digest, machine.state.restarts) == ("d2", 1)


def test_a_failed_digest_stays_failed_until_it_is_asked_for_once_more():
    bad = {standin.content(URL + "2"): standin.Behaviour(fails=1, heals_at=1)}
    machine = installed(behaviours=bad)
    machine.ask(wanted(digest="d2", url=URL + "2"))
    for seconds in (10, 11, 14, 20, 30):
        machine.at(seconds)

    assert (machine.entry().phase, machine.entry().digest) == (Phase.ROLLED_BACK, "d1")
    machine.ask(wanted(digest="d2", url=URL + "2", attempt=1))
    assert machine.at(31) == [Phase.APPLYING]
    assert machine.at(34) == [Phase.READY]


def test_running_containers_hold_a_restart_until_they_end():
    machine = Machine(node(busy_until=after(60)))
    machine.ask(wanted())
    machine.at(0)

    assert machine.at(1) == [Phase.WAITING]
    assert standin.due(machine.state, after(1)) == after(60)
    machine.ask(wanted(Wanted.PREFETCH))
    assert machine.at(2) == [Phase.FETCHED]
    assert machine.entry().reason == standin.IDLE
    machine.ask(wanted())
    assert machine.at(3) == [Phase.WAITING]
    assert machine.at(60) == [Phase.APPLYING]


def test_two_shims_asked_for_at_once_cost_one_restart():
    machine = Machine(node())
    machine.ask(wanted(name="a"), wanted(name="b"))
    for seconds in (0, 1, 4):
        machine.at(seconds)

    assert machine.at(5) == [Phase.READY, Phase.READY]
    assert machine.state.restarts == 1


def test_removal_waits_for_sandboxes_and_the_entry_goes_with_the_spec():
    machine = installed(in_use_until=after(100))
    machine.ask(wanted(Wanted.ABSENT))

    assert machine.at(10) == [Phase.DRAINING]
    assert machine.entry().in_use == 1
    assert machine.at(100) == [Phase.DRAINING]
    assert machine.at(103) == [Phase.ABSENT]
    assert machine.entry().digest == ""
    machine.ask()
    assert machine.at(104) == []


def test_an_entry_that_is_gone_keeps_what_is_installed():
    machine = installed()
    machine.ask()

    assert machine.at(10) == [Phase.READY]
    assert machine.entry().digest == "d1"


def test_a_restarted_agent_goes_on_from_its_journal():
    machine = installed()
    machine.ask(wanted(digest="d2", url=URL + "2"))
    machine.at(10)
    machine.state = standin.restart(machine.state, after(20))
    assert machine.at(20) == [Phase.FETCHING]
    assert machine.at(21) == [Phase.APPLYING]
    machine.state = standin.restart(machine.state, after(22))
    assert machine.at(24) == [Phase.APPLYING]
    assert machine.at(25) == [Phase.READY]
    assert machine.entry().digest == "d2"


def test_a_share_of_the_nodes_fails():
    bad = {standin.content(URL): standin.Behaviour(fails=0.3)}
    phases = []
    for index in range(200):
        machine = Machine(standin.NodeState("n1", "u1", behaviours=bad, seed=str(index)))
        machine.ask(wanted())
        for seconds in (0, 1, 4):
            machine.at(seconds)
        phases.append(machine.entry().phase)

    assert 40 < phases.count(Phase.ROLLED_BACK) < 80
