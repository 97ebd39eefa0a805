"""The agent is gone for good in the middle of a trial: the node heals by itself.

Either the dead man's switch fires, or the power was cut and the node boots on its old
configuration. An upgrade is swapped back without a restart. No agent has part in it until the node is well; what is left then is `recover`'s.
"""

import uuid

import pytest

from tests.containerd import support
from tests.containerd.support import OLD, SECOND
from tests.testbed import nodes
from tests.workloads import pods

pytestmark = [pytest.mark.node, pytest.mark.timeout(180)]

both_releases = pytest.mark.parametrize("release", ["1.7", "2.3"])

DELAY_S = 3
"""Instead of the 60 s that the switch has; 30 s remain of the 90 s that a node may need."""
HEALED_S = 30.0
_RESTART_AND_DIE = [
    ["before", "systemctl", "systemctl restart --no-block containerd"],
    ["before", "systemctl", "kill"],
]
SIGKILLED = 137


@both_releases
@pytest.mark.parametrize("trap", ["ends at once", "CRI is dead"])
def test_without_an_agent_the_switch_heals_the_node(host: support.Host, trap: str) -> None:
    found = host.look()
    with support.plain(host) as plain:
        host.trap(trap)

        _die(host, OLD)
        seconds = host.await_cri(timeout_s=DELAY_S + HEALED_S)

        healed = host.look()
        assert seconds > DELAY_S / 2, "containerd was never ill"
        assert plain.lives
        assert "/run/rcm/rcm.toml" not in healed.files, "the trial is still there"
        assert healed.starts <= found.starts + 2 or trap == "ends at once"
        done = host.agent("recover")
        assert done.code == 0, done.error
        after = host.look()
        assert after.config == found.config
        assert (after.remains, after.processes, after.units) == ([], {}, [])
        assert after.containerd == healed.containerd, "recovery restarted a healthy containerd"
        assert plain.lives


@both_releases
def test_the_switch_keeps_the_shims_of_before(host: support.Host) -> None:
    """The second Shim is on trial; the first one stays what it is."""
    host.apply(OLD)
    found = host.look()
    with support.wasm(host) as guest:
        host.trap("CRI is dead", what="containerd-shim-second")

        _die(host, OLD, SECOND)
        host.await_cri(timeout_s=DELAY_S + HEALED_S)

        assert guest.lives
        host.sandbox_works("wasmtime")
        assert host.agent("recover").code == 0
        assert [s["state"] for s in host.status()["shims"]] == ["Ready"]
        after = host.look()
        assert (after.config, after.remains) == (found.config, found.remains)


@both_releases
def test_a_node_whose_trial_is_good_is_put_back_too(host: support.Host) -> None:
    """Nobody has proven it, so it does not count: whoever comes later finds the old state."""
    found = host.look()

    _die(host, OLD)
    host.sh(support.SWITCH_IS_DONE)

    host.await_cri(timeout_s=HEALED_S)
    assert host.agent("recover").code == 0
    after = host.look()
    assert (after.config, after.remains, after.units) == (found.config, [], [])


@both_releases
def test_an_upgrade_that_nobody_proves_is_swapped_back(host: support.Host) -> None:
    """The new version answers `-v` and starts nothing; the agent dies before it can know."""
    host.apply(OLD)
    found = host.look()
    manifest = host.manifest(support.Shim(variant="start-fails"))
    with support.wasm(host) as guest, support.plain(host) as plain:
        done = host.interfere(
            *("apply", "-f", manifest),
            at=[["after", "link", "kill"]],
            settings={"SWITCH_DELAY_S": DELAY_S},
        )

        assert done.code == SIGKILLED
        assert OLD.digest not in host.link(OLD), "the link was not swapped"
        with pytest.raises(pods.CriError):
            host.sandbox_works("wasmtime")
        host.sh(support.SWITCH_IS_DONE)

        assert OLD.digest in host.link(OLD)
        host.sandbox_works("wasmtime")
        healed = host.look()
        assert (healed.config, healed.containerd) == (found.config, found.containerd)
        assert (guest.lives, plain.lives) == (True, True)
        done = host.agent("recover")
        assert done.code == 0, done.error
        after = host.look()
        assert (after.config, after.remains) == (found.config, found.remains)
        assert (after.containerd, after.units) == (found.containerd, [])
        assert (guest.lives, plain.lives) == (True, True)
    assert [s["state"] for s in host.status()["shims"]] == ["Ready"]
    assert host.look().starts == found.starts


def _die(host: support.Host, *wanted: support.Shim) -> None:
    """Ask for the restart, and be gone for good."""
    manifest = host.manifest(*wanted)
    done = host.interfere(
        "apply", "-f", manifest, at=_RESTART_AND_DIE, settings={"SWITCH_DELAY_S": DELAY_S}
    )
    assert done.code == SIGKILLED
    assert host.look().units != [], "no switch is armed"


@both_releases
@pytest.mark.parametrize("point", ["before verify", "after prove"])
def test_after_a_power_cut_in_the_trial_the_old_configuration_boots(new_host, point: str) -> None:
    host = new_host()
    found = host.node.read(nodes.CONFIG)
    starts = _cut_power(host, point, OLD)

    host.sandbox_works()

    booted = host.look()
    assert booted.starts == starts + 1, "containerd needed more than one start"
    done = host.agent("recover")
    assert done.code == 0, done.error
    after = host.look()
    assert after.config == {nodes.CONFIG: found}
    assert (after.remains, after.processes) == ([], {})
    assert after.containerd == booted.containerd
    assert host.status()["shims"] == []


def _cut_power(host: support.Host, point: str, *wanted: support.Shim) -> int:
    """Cut the power at a point of an apply; how often containerd had been started by then.

    A configuration with our runtime cannot boot.
    """
    when, step = point.split()
    manifest = host.manifest(*wanted)
    done = host.interfere("apply", "-f", manifest, at=[[when, step, "kill"]])
    assert done.code == SIGKILLED
    host.trap("CRI is dead", lasting=True)
    starts = host.look().starts
    host.node.power_cut()
    # The kernel is the machine's, and so is its id of this boot; a real cut changes it.
    fake = "/proc/sys/kernel/random/boot_id"
    host.node.write("/run/boot_id", f"{uuid.uuid4()}\n".encode())
    host.node.exec(["mount", "--bind", "/run/boot_id", fake])
    return starts
