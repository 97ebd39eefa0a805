"""What an agent does about what its node is asked."""

from __future__ import annotations

from rcm_api.noderuntime import Phase, Wanted
from tests.agent_cluster.rig import GOOD_2, Rig, wanted
from tests.fakes import invariants


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
