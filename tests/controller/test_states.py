"""Where a node is with one Shim, read off its object."""

import pytest

from rcm_api.noderuntime import Phase, Wanted
from rcm_controller import states
from rcm_controller.states import State
from tests.controller import make

OLD, NEW = make.wanted(version="1"), make.wanted(version="2")
LATE = make.ago(600)


def active(manifest=NEW, **fields):
    return make.entry(manifest, Wanted.ACTIVE, **fields)


def prefetch(manifest=NEW, **fields):
    return make.entry(manifest, Wanted.PREFETCH, **fields)


def absent(manifest=NEW, **fields):
    return make.entry(manifest, Wanted.ABSENT, **fields)


def says(phase, manifest=NEW, *, has=None, **fields):
    return make.seen(manifest, phase, has=has, **fields)


@pytest.mark.parametrize(
    ("entry", "seen", "expected"),
    [
        pytest.param(None, None, State.FETCHING, id="not asked yet"),
        pytest.param(None, says(Phase.READY), State.READY, id="has it though its object is new"),
        pytest.param(None, says(Phase.APPLYING), State.WITHDRAWING, id="changes unasked"),
        pytest.param(prefetch(), None, State.FETCHING, id="agent has not looked yet"),
        pytest.param(prefetch(asked_s=700), None, State.OVERDUE, id="no agent there"),
        pytest.param(prefetch(), says(Phase.FETCHING), State.FETCHING, id="downloading"),
        pytest.param(
            prefetch(asked_s=700), says(Phase.FETCHING), State.OVERDUE, id="downloading for ever"
        ),
        pytest.param(prefetch(), says(Phase.FETCHED), State.FETCHED, id="fetched"),
        pytest.param(
            prefetch(), says(Phase.FETCHED, reason="WaitingForIdle"), State.BLOCKED, id="gate shut"
        ),
        pytest.param(prefetch(), says(Phase.FETCHED, OLD), State.FETCHING, id="fetched the former"),
        pytest.param(
            prefetch(attempt=1),
            says(Phase.FETCHED),
            State.FETCHING,
            id="fetched at another attempt",
        ),
        pytest.param(prefetch(), says(Phase.FAILED), State.FETCH_FAILED, id="download failed"),
        pytest.param(
            prefetch(), says(Phase.ROLLED_BACK), State.FAILED, id="it went on and failed anyway"
        ),
        pytest.param(prefetch(), says(Phase.WAITING), State.WITHDRAWING, id="not known to hold"),
        pytest.param(prefetch(), says(Phase.APPLYING), State.WITHDRAWING, id="went on anyway"),
        pytest.param(
            prefetch(), says(Phase.READY, OLD, has=OLD), State.FETCHING, id="has the former version"
        ),
        pytest.param(active(), None, State.UPDATING, id="asked, no status"),
        pytest.param(active(asked_s=700), None, State.STUCK, id="asked long ago, no status"),
        pytest.param(active(), says(Phase.FETCHED), State.UPDATING, id="asked, no answer"),
        pytest.param(active(asked_s=700), says(Phase.FETCHED), State.STUCK, id="never answered"),
        pytest.param(active(), says(Phase.APPLYING), State.UPDATING, id="at work"),
        pytest.param(
            active(asked_s=700),
            says(Phase.APPLYING),
            State.UPDATING,
            id="at work after a long wait",
        ),
        pytest.param(
            active(asked_s=700), says(Phase.APPLYING, at_s=650), State.STUCK, id="at work for ever"
        ),
        pytest.param(active(asked_s=9e4), says(Phase.WAITING), State.WAITING, id="at the gate"),
        pytest.param(active(), says(Phase.READY), State.READY, id="proven"),
        pytest.param(
            active(attempt=1), says(Phase.FAILED), State.UPDATING, id="stale answer of a former try"
        ),
        pytest.param(
            active(), says(Phase.READY, OLD, has=OLD), State.UPDATING, id="stale answer of a digest"
        ),
        pytest.param(
            active(), says(Phase.READY, digest=""), State.UPDATING, id="says ready and has nothing"
        ),
        pytest.param(active(), says(Phase.FAILED), State.FAILED, id="failed"),
        pytest.param(active(), says(Phase.ROLLED_BACK, has=OLD), State.FAILED, id="rolled back"),
        pytest.param(
            active(attempt=2),
            says(Phase.ROLLED_BACK, OLD, has=NEW),
            State.READY,
            id="back to what it had all the time",
        ),
        pytest.param(active(OLD), says(Phase.FETCHED, OLD), State.UPDATING, id="old question open"),
        pytest.param(
            active(OLD, asked_s=700),
            says(Phase.FETCHED, OLD),
            State.WITHDRAWING,
            id="old question never answered",
        ),
        pytest.param(
            active(OLD), says(Phase.WAITING, OLD), State.WAITING, id="old one at the gate"
        ),
        pytest.param(
            active(OLD), says(Phase.READY, OLD, has=OLD), State.FETCHING, id="due for the new one"
        ),
        pytest.param(
            active(OLD), says(Phase.FAILED, OLD), State.FETCHING, id="a former failure is forgiven"
        ),
        pytest.param(
            absent(), says(Phase.DRAINING, has=NEW), State.WITHDRAWING, id="selected again"
        ),
        pytest.param(absent(), says(Phase.ABSENT), State.FETCHING, id="cleaned, selected again"),
        pytest.param(
            absent(attempt=1),
            says(Phase.READY),
            State.UPDATING,
            id="selected again, may be removing",
        ),
    ],
)
def test_the_state_of_a_selected_node(entry, seen, expected):
    found = states.selected(entry, seen, make.target(NEW), late=LATE)

    assert found is expected


@pytest.mark.parametrize(
    ("entry", "seen", "expected"),
    [
        pytest.param(active(), says(Phase.READY), State.LEAVING, id="proven"),
        pytest.param(prefetch(), says(Phase.FETCHED), State.LEAVING, id="fetched"),
        pytest.param(prefetch(), None, State.LEAVING, id="asked to fetch"),
        pytest.param(active(), says(Phase.WAITING), State.LEAVING, id="at the gate"),
        pytest.param(active(), says(Phase.FAILED), State.LEAVING, id="failed"),
        pytest.param(active(), says(Phase.FETCHED), State.UPDATING, id="may be changing"),
        pytest.param(active(), says(Phase.APPLYING), State.UPDATING, id="changes"),
        pytest.param(active(asked_s=700), says(Phase.APPLYING), State.LEAVING, id="hangs"),
        pytest.param(
            prefetch(), says(Phase.DRAINING, has=NEW), State.WITHDRAWING, id="told to hold"
        ),
        pytest.param(absent(attempt=1), says(Phase.READY), State.REMOVING, id="no answer"),
        pytest.param(absent(attempt=1), says(Phase.ABSENT), State.REMOVING, id="a former answer"),
        pytest.param(absent(), None, State.REMOVING, id="no agent"),
        pytest.param(absent(), says(Phase.DRAINING), State.DRAINING, id="pods use it"),
        pytest.param(absent(), says(Phase.FAILED), State.REMOVAL_FAILED, id="cannot be removed"),
        pytest.param(absent(), says(Phase.ABSENT), State.CLEAN, id="clean"),
    ],
)
def test_the_state_of_a_node_that_is_to_be_cleaned(entry, seen, expected):
    assert states.leaving(entry, seen, late=LATE) is expected


@pytest.mark.parametrize(
    ("entry", "seen", "expected"),
    [
        pytest.param(None, None, State.UNSUPPORTED, id="never asked"),
        pytest.param(active(), says(Phase.READY), State.UNSUPPORTED, id="keeps what it has"),
        pytest.param(active(), says(Phase.FETCHED), State.UPDATING, id="may be changing"),
        pytest.param(prefetch(), says(Phase.APPLYING), State.WITHDRAWING, id="changes"),
    ],
)
def test_a_platform_that_left_the_manifest_is_counted_until_it_is_still(entry, seen, expected):
    assert states.unserved(entry, seen, late=LATE) is expected
