"""An agent ends what containerd forgot, by itself, and tries again where it could not look.

When it looks: at each start of containerd, then at pauses that double, and before a Shim goes.
"""

from __future__ import annotations

import itertools

from rcm_agent import errors, settings
from rcm_agent.cluster import orphans, starts
from rcm_api.noderuntime import Phase, Wanted
from tests.agent_cluster.rig import Rig, wanted
from tests.crash import scenes
from tests.fakes import daemon
from tests.fakes import host as hosts
from tests.fakes.faults import Edit

LINK = settings.link("spin")


class Sweeping(Rig):
    """Looks for forgotten processes in earnest, after so many failures."""

    failures = 0
    ended = 0

    def __init__(self) -> None:
        self.swept_with = []
        """For each sweep, whether a Shim was installed."""
        super().__init__()

    def end_orphans(self, work):
        if self.failures:
            self.failures -= 1
            raise errors.CriError("containerd failed List: too busy", code="DEADLINE_EXCEEDED")
        found = orphans.end_orphans(work)
        self.ended += found
        self.swept_with.append(bool(work.current.shims))
        return found


def forgotten(rig: Sweeping) -> dict:
    """Let somebody restart containerd under a guest whose shim has no Pids."""
    rig.ask(wanted())
    rig.until(Phase.READY)
    exe = rig.host.disk.realpath(LINK)
    for name, pids in (("healthy", True), ("forgotten", False)):
        task = daemon.Task(name, shim=LINK, exe=exe, handler="spin", pids=pids)
        rig.host.daemon.add(task)
    rig.host.pass_time(5)
    rig.host.restart_containerd()
    assert [task.id for task in rig.host.daemon.leaked.values()] == ["forgotten"]
    return rig.host.daemon.leaked


def test_a_restart_by_somebody_else_leaves_nothing_behind():
    rig = Sweeping()
    leaked = forgotten(rig)
    rig.run(40)

    assert leaked == {}
    assert rig.ended == 1
    assert "healthy" in rig.host.daemon.tasks


def test_a_look_that_fails_is_taken_again():
    rig = Sweeping()
    leaked = forgotten(rig)
    rig.failures = 1
    rig.run(40)
    assert leaked

    rig.run(40)

    assert leaked == {}


def ready(rig: Rig | None = None) -> Rig:
    rig = rig or Rig()
    rig.ask(wanted())
    rig.until(Phase.READY)
    return rig


def leave(rig: Rig) -> dict:
    """Let a pod go whose shim stays: containerd has forgotten it, and no bundle is left."""
    exe = f"/opt/rcm/store/sha256/{'0' * 64}/containerd-shim-spin-v2 (deleted)"
    now = rig.host.clock.now
    left = daemon.Task("left", shim=LINK, exe=exe, handler="spin", pid=9999, started_s=now)
    rig.host.daemon.leaked[left.pid] = left
    return rig.host.daemon.leaked


def test_the_shim_of_a_pod_that_went_after_the_first_sweep_is_ended():
    rig = ready(Sweeping())
    rig.run(5)
    leaked = leave(rig)
    rig.run(40)

    assert leaked == {}
    assert rig.ended == 1


def test_what_a_removed_shim_left_is_ended():
    rig = ready(Sweeping())
    rig.ask(wanted(Wanted.ABSENT, attempt=1))
    rig.until(Phase.ABSENT)
    rig.run(5)
    leaked = leave(rig)
    rig.run(40)

    assert leaked == {}


def test_an_agent_without_a_shim_looks_when_it_starts():
    rig = Sweeping()
    leaked = leave(rig)
    rig.run(40)

    assert leaked == {}


def test_before_a_shim_is_removed_what_was_forgotten_is_ended():
    rig = ready(Sweeping())
    rig.run(3600)
    leaked = leave(rig)
    rig.swept_with.clear()
    rig.ask(wanted(Wanted.ABSENT, attempt=1))

    rig.until(Phase.ABSENT)
    assert leaked == {}
    assert rig.swept_with == [True, False]


def test_sweeps_come_more_and_more_seldom():
    rig = ready()
    rig.sweeps.clear()
    rig.run(9800)

    pauses = [later - former for former, later in itertools.pairwise(rig.sweeps)]
    assert pauses[0] < 4 * starts.FIRST_PAUSE_S, "a look comes every 30 s"
    assert pauses == sorted(pauses)
    assert starts.LONGEST_PAUSE_S <= pauses[-1] < 1.1 * starts.LONGEST_PAUSE_S
    assert len(pauses) < 10


def test_each_start_of_containerd_has_a_sweep_whoever_caused_it():
    rig = ready()
    rig.run(3600)
    rig.host.edit(Edit(hosts.CONFIG, content=scenes.CONFIGS["2.3.4"]))
    rig.host.restart_containerd()
    began, former = rig.host.clock.now, len(rig.sweeps)
    rig.run(40)

    assert rig.status.restarts == 2
    assert len(rig.sweeps) >= former + 2, "after somebody's restart, and after the repair's"
    assert rig.sweeps[former] >= began


def test_an_agent_that_starts_looks_for_what_was_forgotten_meanwhile():
    rig = ready()
    rig.run(3600)
    former = len(rig.sweeps)
    rig.start()
    rig.run(10)

    assert len(rig.sweeps) == former + 1
