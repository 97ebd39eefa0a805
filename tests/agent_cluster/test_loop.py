"""What an agent does about what its node is asked."""

from __future__ import annotations

import msgspec

from rcm_agent import settings
from rcm_api.client import api, resources
from rcm_api.noderuntime import Phase, Wanted
from tests.agent_cluster.rig import BAD, CRASH, GOOD_1, GOOD_2, NODE, Rig, bare, place, sha, wanted
from tests.fakes import daemon, invariants
from tests.fakes.faults import Edit

NAME = "containerd-shim-wasmtime-v1"


def test_a_shim_is_fetched_installed_and_ready():
    rig = Rig()
    rig.ask(wanted())
    rig.until(Phase.READY)

    assert rig.phases() == [Phase.FETCHING, Phase.APPLYING, Phase.READY]
    assert rig.status.restarts == 1
    assert rig.shim().digest == wanted().digest
    assert rig.shim().handler == "spin"
    assert invariants.serves(rig.host).keys() == {"spin"}


def test_an_upgrade_needs_no_restart():
    rig = Rig()
    rig.ask(wanted())
    rig.until(Phase.READY)
    rig.ask(wanted(Wanted.PREFETCH, GOOD_2))
    rig.until(Phase.FETCHED)

    assert rig.shim().digest == wanted().digest
    rig.ask(wanted(data=GOOD_2))
    rig.until(Phase.READY)

    assert rig.status.restarts == 1
    assert rig.shim().digest == wanted(data=GOOD_2).digest


def test_nothing_to_do_means_no_write_anywhere():
    rig = ready()
    before = rig.object().metadata.resource_version
    rig.host.kill()
    rig.start()
    rig.run(300)

    assert rig.host.effects == []
    assert rig.object().metadata.resource_version == before
    assert len(rig.host.service.starts) == 2


def ready(*shims, **more):
    rig = Rig(**more)
    rig.ask(*(shims or (wanted(),)))
    for entry in shims or (wanted(),):
        rig.until(Phase.READY, entry.name)
    return rig


def test_two_shims_cost_one_restart():
    rig = ready(wanted(name="one"), wanted(name="two", data=GOOD_2))

    assert rig.status.restarts == 1
    assert invariants.serves(rig.host).keys() == {"one", "two"}


def test_prefetch_touches_nothing():
    rig = Rig()
    rig.ask(wanted(Wanted.PREFETCH))
    rig.until(Phase.FETCHED)
    rig.run(60)

    assert rig.phases() == [Phase.FETCHING, Phase.FETCHED]
    assert len(rig.host.service.starts) == 1
    assert rig.host.disk.get("/opt/rcm/journal.json") is None
    assert (rig.shim().sha256, rig.shim().digest) == (sha(GOOD_1), "")


def test_a_shim_that_is_removed_leaves_every_byte_as_it_was():
    rig = ready()
    rig.ask(wanted(Wanted.ABSENT, attempt=1))
    rig.until(Phase.ABSENT)
    before = {path: inode.data for path, inode in bare().disk.tree("/etc")}

    assert {path: inode.data for path, inode in rig.host.disk.tree("/etc")} == before
    assert [path for path, _ in rig.host.disk.tree("/opt")] in (["/opt"], ["/opt", "/opt/rcm"])
    rig.ask()
    rig.run(5)
    assert rig.shim() is None


def test_what_was_only_fetched_goes_too():
    rig = Rig()
    rig.ask(wanted(Wanted.PREFETCH))
    rig.until(Phase.FETCHED)
    rig.ask(wanted(Wanted.ABSENT, attempt=1))
    rig.until(Phase.ABSENT)

    assert [path for path, _ in rig.host.disk.tree("/opt")] in (["/opt"], ["/opt", "/opt/rcm"])


def test_an_entry_that_is_gone_keeps_what_is_installed():
    rig = ready()
    rig.ask()
    rig.run(60)

    assert rig.phase() is Phase.READY
    assert invariants.serves(rig.host).keys() == {"spin"}


def test_removal_waits_until_no_sandbox_uses_the_shim():
    rig = ready()
    use(rig)
    rig.run(40)
    assert rig.shim().in_use == 1
    rig.ask(wanted(Wanted.ABSENT, attempt=1))
    rig.run(60)

    assert (rig.phase(), rig.shim().reason, rig.shim().in_use) == (Phase.DRAINING, "InUse", 1)
    assert len(rig.host.service.starts) == 2
    rig.host.daemon.end_sandbox("wasm")
    rig.until(Phase.ABSENT)
    assert rig.host.daemon.lost == []


def use(rig, *, pids=True):
    """Let a pod run on our shim."""
    link = settings.link("spin")
    exe = rig.host.disk.realpath(link)
    task = daemon.Task(
        "wasm", name="default/hello/app", sandbox="wasm", handler="spin", shim=link, exe=exe
    )
    rig.host.daemon.add(daemon.replace(task, pids=pids))
    rig.host.daemon.sandboxes["wasm"] = ("default/hello", "spin", True)


def test_a_second_shim_waits_for_containers_that_the_restart_would_end():
    rig = ready()
    use(rig, pids=False)
    rig.ask(wanted(), wanted(name="two", data=GOOD_2))
    rig.until(Phase.WAITING, "two")
    rig.run(60)

    assert rig.shim("two").reason == "WaitingForIdle"
    assert "default/hello/app" in rig.shim("two").message
    assert rig.status.state == "Waiting"
    assert (rig.phase(), len(rig.host.service.starts)) == (Phase.READY, 2)
    rig.host.daemon.end_sandbox("wasm")
    rig.until(Phase.READY, "two", seconds=15)
    assert rig.host.daemon.lost == []


def test_a_prefetched_shim_says_that_the_gate_is_closed():
    rig = ready()
    use(rig, pids=False)
    rig.ask(wanted(), wanted(Wanted.PREFETCH, GOOD_2, name="two"))
    rig.until(Phase.FETCHED, "two")

    assert rig.shim("two").reason == "WaitingForIdle"


def test_what_may_disrupt_stops_containers_cleanly_first():
    rig = ready()
    use(rig, pids=False)
    rig.ask(wanted(), wanted(name="two", data=GOOD_2, disruption="Allow"))
    rig.until(Phase.READY, "two")

    assert "wasm" in rig.host.daemon.stopped
    assert rig.host.daemon.lost == []


def test_removal_waits_for_other_peoples_containers_too():
    rig = ready(wanted(), wanted(name="two", data=GOOD_2))
    use(rig, pids=False)
    rig.ask(wanted(), wanted(Wanted.ABSENT, GOOD_2, name="two", attempt=1))
    rig.run(30)

    assert (rig.phase("two"), rig.shim("two").reason) == (Phase.DRAINING, "WaitingForIdle")
    assert "default/hello/app" in rig.shim("two").message
    rig.host.daemon.end_sandbox("wasm")
    rig.until(Phase.ABSENT, "two", seconds=15)
    assert invariants.serves(rig.host).keys() == {"spin"}


def test_a_broken_release_is_rolled_back_and_stays_so_until_it_is_asked_for_once_more():
    rig = ready()
    rig.ask(wanted(data=CRASH))
    rig.until(Phase.ROLLED_BACK)
    rig.run(120)

    assert rig.shim().reason == "ProofFailed"
    assert rig.shim().digest == wanted().digest
    assert rig.status.rollbacks == 1
    assert rig.phases()[-3:] == [Phase.FETCHING, Phase.APPLYING, Phase.ROLLED_BACK]
    rig.ask(wanted(data=CRASH, attempt=1))
    rig.run(60)
    assert rig.status.rollbacks == 2
    assert rig.phases()[-2:] == [Phase.APPLYING, Phase.ROLLED_BACK]
    assert rig.status.restarts == 1


def test_an_answer_stands_when_the_agent_starts_again():
    rig = ready()
    rig.ask(wanted(data=CRASH))
    rig.until(Phase.ROLLED_BACK)
    said = rig.status
    rig.start()
    rig.run(120)

    assert rig.status == said


def test_a_shim_that_does_not_run_here_fails_when_it_is_fetched():
    rig = Rig()
    rig.ask(wanted(Wanted.PREFETCH, BAD))
    rig.until(Phase.FAILED)

    assert rig.shim().reason == "ShimBroken"
    assert len(rig.host.service.starts) == 1


def test_wrong_bytes_are_refused():
    rig = Rig()
    rig.ask(wanted(url=f"file://{place(GOOD_2)}"))
    rig.until(Phase.FAILED)

    assert rig.shim().reason == "DigestMismatch"
    assert rig.host.programs.executed == []


def test_a_fetch_that_fails_holds_no_other_shim():
    rig = Rig()
    rig.ask(wanted(name="one", url="file:///srv/nothing"), wanted(name="two", data=GOOD_2))
    rig.until(Phase.READY, "two")

    assert (rig.phase("one"), rig.shim("one").reason) == (Phase.FAILED, "FetchFailed")


def test_what_failed_together_goes_alone_the_next_time():
    rig = Rig()
    rig.ask(wanted(name="bad", data=CRASH), wanted(name="good"))
    rig.until(Phase.ROLLED_BACK, "good")
    assert rig.phase("bad") is Phase.ROLLED_BACK
    rig.host.pass_time(600)
    rig.ask(wanted(name="bad", data=CRASH, attempt=1), wanted(name="good", attempt=1))
    rig.until(Phase.READY, "good")

    assert rig.phase("bad") is Phase.ROLLED_BACK
    assert invariants.serves(rig.host).keys() == {"good"}


def test_a_handler_that_is_not_ours_is_left_alone():
    rig = Rig()
    rig.ask(wanted(handler="runc"), wanted(name="two", handler="two", data=GOOD_2))
    rig.until(Phase.READY, "two")

    assert (rig.phase(), rig.shim().reason) == (Phase.FAILED, "Invalid")


def test_trust_on_first_use_reports_what_it_found():
    rig = Rig()
    rig.ask(wanted(sha256="", digest="d1"))
    rig.until(Phase.READY)

    assert (rig.shim().sha256, rig.shim().size) == (sha(GOOD_1), len(GOOD_1))
    rig.ask(wanted(digest="d2"))
    rig.until(Phase.READY)
    assert (rig.shim().digest, rig.status.restarts) == ("d2", 1)
    rig.start()
    rig.run(60)
    assert (rig.phase(), rig.shim().digest) == (Phase.READY, "d2")


def test_an_object_of_another_node_is_not_acted_on():
    rig = Rig(uid="another-uid")
    rig.ask(wanted())
    rig.run(60)

    assert rig.status.shims == ()
    assert rig.host.effects == [] or rig.host.disk.get("/opt/rcm/journal.json") is None


def test_the_budget_of_restarts_is_kept():
    rig = Rig()
    for number in range(4):
        rig.ask(*(wanted(name=f"shim-{n}") for n in range(number + 1)))
        rig.run(20)

    assert (rig.phase("shim-3"), rig.shim("shim-3").reason) == (Phase.FAILED, "BudgetSpent")
    assert len(rig.host.service.starts) == 4
    assert rig.host.timers.fired == []
    assert [e.name for e in rig.host.effects].count("systemd.arm") == 3
    assert rig.until(Phase.READY, "shim-3", seconds=700) is None  # without another question


def test_a_status_stays_small():
    rig = Rig()
    rig.ask(*(wanted(name=f"bad-{n}", url=f"file:///srv/{'x' * 200}{n}") for n in range(3)))
    rig.run(60)

    assert len(msgspec.json.encode(rig.object())) < 6000


def test_what_was_trusted_first_is_what_is_installed():
    rig = Rig()
    rig.ask(wanted(Wanted.PREFETCH, sha256="", digest="d1"))
    rig.until(Phase.FETCHED)
    rig.host.edit(Edit(place(GOOD_1), content=GOOD_2))
    rig.ask(wanted(sha256="", digest="d1"))
    rig.until(Phase.READY)

    assert rig.shim().sha256 == sha(GOOD_1)
    assert invariants.serves(rig.host) == {"spin": sha(GOOD_1)}


def test_one_that_was_damaged_since_it_was_fetched_holds_no_other():
    rig = Rig()
    asked = ({"name": "one"}, {"name": "two", "data": GOOD_2})
    rig.ask(*(wanted(Wanted.PREFETCH, **more) for more in asked))
    rig.until(Phase.FETCHED, "two")
    rig.host.edit(Edit(f"/opt/rcm/store/sha256/{sha(GOOD_1)}/{NAME}", content=b"bits"))
    rig.host.edit(Edit(place(GOOD_1)))
    rig.ask(*(wanted(**more) for more in asked))
    rig.until(Phase.READY, "two")

    assert (rig.phase("one"), rig.shim("one").reason) == (Phase.FAILED, "FetchFailed")
    assert rig.status.restarts == 1


def test_two_shims_that_claim_one_handler_are_not_both_installed():
    rig = ready()
    rig.ask(wanted(), wanted(name="two", data=GOOD_2, handler="spin"))
    rig.run(30)

    assert (rig.phase("two"), rig.shim("two").reason) == (Phase.FAILED, "HandlerTaken")
    assert rig.phase() is Phase.READY


def test_a_renamed_shim_takes_the_handler_over_without_a_restart():
    rig = ready()
    gone = wanted(Wanted.ABSENT, attempt=1)
    rig.ask(wanted(name="new", handler="spin"), gone)
    rig.until(Phase.READY, "new")

    assert rig.phase() is Phase.ABSENT
    assert rig.status.restarts == 1


def test_a_stop_begins_nothing_more():
    rig = Rig()
    rig.ask(wanted())
    rig.stopping = True
    rig.run(30)

    assert len(rig.host.service.starts) == 1
    assert rig.host.disk.get("/opt/rcm/journal.json") is None


def test_an_object_on_its_way_out_asks_for_nothing():
    rig = ready()
    held = api.Patch({"metadata": {"finalizers": ["example.com/held"]}})
    rig.user.patch(resources.NODERUNTIMES, NODE, held, decode=api.ignore)
    rig.user.delete(resources.NODERUNTIMES, NODE)
    rig.ask(wanted(Wanted.ABSENT, attempt=1))
    rig.run(60)

    assert rig.object().metadata.deletion_timestamp is not None
    assert invariants.serves(rig.host).keys() == {"spin"}
    assert rig.phase() is Phase.READY
