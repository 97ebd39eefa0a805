"""What the dead man's switch runs: links and files back, and a restart only where we restart."""

import dataclasses

from rcm_agent import proof, records, settings, switch
from rcm_agent.records import Step
from tests.agent import make
from tests.fakes.host import CONFIG, UNIT, FakeHost

OLD, NEW = make.shim(version="1"), make.shim(version="2")
OTHER = make.shim("spin")
LINK = settings.link("wasmtime")
UPGRADE = (Step.PREPARE, Step.ARM, Step.LINK, Step.PROVE, Step.DISARM, Step.CLEAN)
TRIAL = records.FileChange(path="/run/rcm/rcm.toml", before="", attached="", trial="t", final="")
ON_DISK = records.FileChange(path=CONFIG, before="a", attached="a", trial="b", final="b")
RESTART = (("/bin/systemctl", "reset-failed", UNIT), ("/bin/systemctl", "restart", UNIT))
SWAP_BACK = (
    ("/bin/ln", "-sfn", OLD.path, f"{LINK}.rcm-tmp"),
    ("/bin/mv", "-f", "-T", f"{LINK}.rcm-tmp", LINK),
)


def commands(operation, *, steps):
    operation = dataclasses.replace(operation, steps=steps)
    return switch.commands(operation, FakeHost().ports.kernel, unit=UNIT)


def test_an_upgrade_swaps_its_link_back_and_restarts_nothing():
    operation = make.operation(before=(OLD,), after=(NEW,), files=(TRIAL, ON_DISK))

    assert commands(operation, steps=UPGRADE) == SWAP_BACK


def test_a_proof_that_uses_up_its_deadlines_ends_before_the_switch_fires():
    longest_s = proof.IMAGE_TIMEOUT_S + settings.Settings().prove_timeout_s + proof.REMOVE_TIMEOUT_S

    assert longest_s < settings.SWITCH_DELAY_S


def test_a_first_install_takes_the_trial_away_and_leaves_the_new_link():
    operation = make.operation(after=(NEW,), files=(TRIAL,))

    expected = (("/bin/rm", "-f", TRIAL.path), *RESTART)
    assert commands(operation, steps=tuple(Step)) == expected


def test_a_removal_touches_no_link():
    operation = make.operation(before=(OLD,), after=(), files=(TRIAL,))

    expected = (("/bin/rm", "-f", TRIAL.path), *RESTART)
    assert commands(operation, steps=tuple(Step)) == expected


def test_an_upgrade_beside_a_first_install_goes_back_as_a_whole_before_the_restart():
    operation = make.operation(before=(OLD,), after=(NEW, OTHER), files=(ON_DISK,))

    temporary = f"{CONFIG}.rcm-tmp"
    restore = (
        ("/usr/bin/install", "-m", "0644", f"{settings.BACKUP}/a", temporary),
        ("/bin/sync", temporary),
        ("/bin/mv", "-f", "-T", temporary, CONFIG),
    )
    assert commands(operation, steps=tuple(Step)) == (*SWAP_BACK, *restore, *RESTART)
