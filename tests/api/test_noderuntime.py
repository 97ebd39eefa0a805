"""What a NodeRuntime says to people, and how large it gets."""

from datetime import UTC, datetime

import msgspec
import pytest

from rcm_api import noderuntime
from rcm_api.conditions import Condition
from rcm_api.noderuntime import Phase, ShimObserved, Status
from tests.api import objects

AT = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)


def status(*phases, conditions=()):
    shims = tuple(
        ShimObserved(name=f"s{index}", phase=phase, reason=f"Because{phase}")
        for index, phase in enumerate(phases)
    )
    return Status(shims=shims, conditions=conditions)


@pytest.mark.parametrize(
    ("found", "state", "reason", "summary"),
    [
        pytest.param(status(), "Idle", "", "", id="nothing"),
        pytest.param(status(Phase.READY), "Ready", "BecauseReady", "s0=Ready", id="ready"),
        pytest.param(
            status(Phase.READY, Phase.FAILED, Phase.WAITING),
            "Failed",
            "BecauseFailed",
            "s0=Ready,s1=Failed,s2=Waiting",
            id="the worst leads",
        ),
        pytest.param(
            status(Phase.READY, Phase.FETCHED), "Fetched", "BecauseFetched", "s0=Ready,s1=Fetched",
            id="work to do leads",
        ),
        pytest.param(
            status(conditions=(Condition(type="Supported", status="False", reason="CriO"),)),
            "Unsupported", "CriO", "",
            id="unsupported",
        ),
        pytest.param(
            status(
                Phase.READY, conditions=(Condition(type="Conflict", status="True", reason="Edited"),)
            ),
            "Conflict", "Edited", "s0=Ready",
            id="conflict",
        ),
        pytest.param(
            status(
                Phase.READY,
                conditions=(
                    Condition(type="Supported", status="True"),
                    Condition(type="Conflict", status="False"),
                ),
            ),
            "Ready", "BecauseReady", "s0=Ready",
            id="all is well",
        ),
    ],
)  # fmt: skip
def test_a_status_has_a_headline(found, state, reason, summary):
    told = noderuntime.summarized(found)

    assert (told.state, told.reason, told.summary) == (state, reason, summary)


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_can_lead(phase):
    assert noderuntime.summarized(status(phase)).state == phase.value


def test_many_shims_fit_into_the_column():
    told = noderuntime.summarized(status(*[Phase.READY] * 100))

    assert len(told.summary) == noderuntime.MAX_SUMMARY
    assert told.summary.endswith("…")


def test_what_is_written_is_read_back():
    full = objects.node_runtime(AT)

    assert noderuntime.parse(msgspec.json.encode(full)) == full
