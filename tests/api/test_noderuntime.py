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

    assert len(told.summary.encode()) == noderuntime.MAX_SUMMARY
    assert told.summary.endswith("…")


def test_what_is_written_is_read_back():
    full = objects.node_runtime(AT)

    assert noderuntime.parse(msgspec.json.encode(full)) == full


def failing(count, message="x" * 300):
    """Return an object whose Shims and containerd all failed with long words."""
    digest, url = "a" * 64, "https://example.com/" + "r" * 90
    asked = tuple(
        noderuntime.ShimWanted(
            name=f"spin-v{n}",
            handler=f"spin-v{n}",
            artifact=noderuntime.Artifact(url=url, sha256=digest),
            digest=digest,
            phase=noderuntime.Wanted.ACTIVE,
            attempt=2,
            asked_at=AT,
        )
        for n in range(count)
    )
    said = tuple(
        ShimObserved(
            name=f"spin-v{n}",
            phase=Phase.ROLLED_BACK,
            handler=f"spin-v{n}",
            digest=digest,
            observed_digest=digest,
            observed_attempt=2,
            sha256=digest,
            size=12_345_678,
            version="containerd-shim-spin-v2 0.19.0",
            reason="VerifyFailed",
            message=message,
            time=AT,
        )
        for n in range(count)
    )
    broken = Condition(type="Healthy", status="False", reason="R", message=message)
    facts = noderuntime.Facts(
        os="linux", arch="amd64", distribution="debian", containerd="1.7.24", machine_id="0" * 32,
        boot_id="0" * 36, agent="0.1.0", strategy="Block", schema=2,
    )  # fmt: skip
    status = Status(facts=facts, shims=said, conditions=(broken,))
    metadata = noderuntime.Metadata("ip-10-0-0-1.eu-west-1.compute.internal", uid="0" * 36)
    return noderuntime.NodeRuntime(
        metadata, noderuntime.Spec(shims=asked), noderuntime.summarized(status)
    )


@pytest.mark.parametrize("message", ["x" * 300, "ß" * 300], ids=["ascii", "two bytes each"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_up_to_three_failing_shims_fit_into_four_kilobytes(count, message):
    found = failing(count, message)
    written_by_others = 350  # kind, owner, times

    assert len(msgspec.json.encode(found)) + written_by_others <= 4096
    assert all(s.message.startswith(message[:30]) for s in found.status.shims)
    assert noderuntime.summarized(found.status) == found.status


def test_a_message_that_fits_is_left_alone():
    words = "containerd: cannot start the shim"

    assert {s.message for s in failing(3, words).status.shims} == {words}
    assert len(failing(9).status.shims[0].message.encode()) == noderuntime.LEAST_BYTES
