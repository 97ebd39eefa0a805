"""An agent ends what containerd forgot, by itself, and tries again where it could not look."""

from __future__ import annotations

from rcm_agent import errors, settings
from rcm_agent.cluster import orphans
from rcm_api.noderuntime import Phase
from tests.agent_cluster.rig import Rig, wanted
from tests.fakes import daemon

LINK = settings.link("spin")


class Sweeping(Rig):
    """Looks for forgotten processes in earnest, after so many failures."""

    failures = 0
    ended = 0

    def end_orphans(self, work):
        if self.failures:
            self.failures -= 1
            raise errors.CriError("containerd failed List: too busy", code="DEADLINE_EXCEEDED")
        found = orphans.end_orphans(work)
        self.ended += found
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
