"""The steps one by one: above all, what a restarted containerd must have."""

import contextlib
import dataclasses
from types import SimpleNamespace

import pytest

from rcm_agent import errors, forward
from rcm_agent.records import Step
from tests.agent import make


def work(*handlers, started_us=2):
    """A host whose CRI has these handlers, and nothing of ours before."""
    return SimpleNamespace(
        current=make.generation(),
        chosen=SimpleNamespace(timeout_s=1.0),
        site=SimpleNamespace(unit="containerd.service"),
        host=SimpleNamespace(
            machine=SimpleNamespace(uptime_s=lambda: 0.0),
            containerd=SimpleNamespace(
                status=lambda **_: make.status(*handlers), heard=contextlib.nullcontext
            ),
            systemd=SimpleNamespace(unit=lambda _: SimpleNamespace(started_us=started_us)),
        ),
    )


OPERATION = make.operation(after=(make.shim(),), step=Step.VERIFY, handlers=("runc", "kata"))


def test_all_there_is_well():
    forward.take(work("wasmtime", "kata"), Step.VERIFY, OPERATION)


def test_an_armed_switch_that_would_not_restart_containerd_is_told_so():
    upgrade = dataclasses.replace(OPERATION, steps=(Step.ARM, Step.LINK))

    assert forward.detail(None, Step.ARM, OPERATION) == "rcm-switch.timer, 60 s"
    assert forward.detail(None, Step.ARM, upgrade).endswith("would not restart containerd")


@pytest.mark.parametrize(
    ("handlers", "missing"),
    [(("wasmtime",), "kata"), (("kata",), "wasmtime")],
    ids=["somebody else's", "ours"],
)
def test_a_missing_handler_is_a_failure_that_names_it(handlers, missing):
    with pytest.raises(errors.HostError, match=missing):
        forward.take(work(*handlers), Step.VERIFY, OPERATION)


def test_a_process_that_is_the_old_one_is_a_failure():
    with pytest.raises(errors.HostError, match="the old one"):
        forward.take(work("wasmtime", "kata", started_us=1), Step.VERIFY, OPERATION)
