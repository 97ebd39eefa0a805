"""The agent's metrics, as Prometheus reads them."""

import datetime as dt
import pathlib
import typing

import msgspec
import pytest
from prometheus_client import parser

from rcm_agent import records
from rcm_agent.cluster import gauges, health, metrics, watchers
from rcm_api import conditions, noderuntime
from rcm_api.noderuntime import Phase

README = pathlib.Path(__file__).parents[2] / "README.md"
NOON = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
FACTS = noderuntime.Facts(
    arch="amd64",
    distribution="debian",
    containerd="2.3.4",
    schema=3,
    strategy="drop-in",
    agent="0.1.0",
)
SPIN = noderuntime.ShimObserved(
    name="spin-v2",
    phase=Phase.READY,
    digest="d" * 64,
    sha256="a" * 64,
    version="0.19.0",
    in_use=3,
    time=NOON,
)
STATUS = noderuntime.Status(
    facts=FACTS,
    shims=(SPIN,),
    conditions=(
        conditions.Condition(type="Healthy", status="True"),
        conditions.Condition(type="Supported", status="False"),
    ),
)


@pytest.fixture
def told() -> metrics.Metrics:
    return metrics.Metrics()


def series(told: metrics.Metrics) -> dict[str, float]:
    """Return every sample, by name and labels as they are written."""
    return {
        f"{s.name}{sorted(s.labels.items())}": s.value
        for family in parser.text_string_to_metric_families(told.text().decode())
        for s in family.samples
    }


def value(told: metrics.Metrics, name: str, **labels: str) -> float | None:
    return series(told).get(f"{name}{sorted(labels.items())}")


def test_a_status_tells_what_is_installed(told: metrics.Metrics):
    told.told(STATUS)

    assert value(
        told, "rcm_agent_shim_info", shim="spin-v2", version="0.19.0", digest="a" * 12
    ) == pytest.approx(1)
    assert value(
        told, "rcm_agent_containerd_info", version="2.3.4", schema="3", strategy="drop-in"
    ) == pytest.approx(1)
    assert value(told, "rcm_agent_shim_sandboxes", shim="spin-v2") == pytest.approx(3)
    assert value(told, "rcm_agent_condition", type="Healthy") == pytest.approx(1)
    assert value(told, "rcm_agent_condition", type="Supported") == pytest.approx(0)
    assert value(told, "rcm_agent_condition", type="Conflict") is None


def test_a_shim_is_in_one_phase_at_a_time(told: metrics.Metrics):
    told.told(STATUS)
    told.told(
        msgspec.structs.replace(STATUS, shims=(msgspec.structs.replace(SPIN, phase=Phase.WAITING),))
    )

    shown = {p: value(told, "rcm_agent_shim_phase", shim="spin-v2", phase=p.value) for p in Phase}
    assert shown == {p: float(p is Phase.WAITING) for p in Phase}
    assert value(told, "rcm_agent_waiting_for_idle") == pytest.approx(1)


def test_the_last_success_stays_while_the_shim_is_changed(told: metrics.Metrics):
    later = NOON + dt.timedelta(hours=1)
    told.told(STATUS)
    failed = msgspec.structs.replace(SPIN, phase=Phase.FAILED, time=later)
    told.told(msgspec.structs.replace(STATUS, shims=(failed,)))

    name = "rcm_agent_shim_success_timestamp_seconds"
    assert value(told, name, shim="spin-v2") == pytest.approx(NOON.timestamp())


def test_the_series_of_a_shim_that_is_gone_disappear(told: metrics.Metrics):
    told.told(STATUS)
    assert "spin-v2" in told.text().decode()

    told.told(msgspec.structs.replace(STATUS, shims=()))

    assert "spin-v2" not in told.text().decode()


def test_what_happens_is_counted(told: metrics.Metrics):
    told.operation("apply", watchers.DONE, 1.5)
    told.fetched(1000, 2)
    told.fetched(500, 1)
    told.step("verify", 0.3, done=True)
    told.step("prove", 0.1, done=False)
    told.orphans(4)
    told.api_error("Unreachable")
    for one in (told.restart, told.rollback, told.drift, told.conflict):
        one()

    found = series(told)
    assert found["rcm_agent_operations_total[('kind', 'apply'), ('outcome', 'Done')]"] == 1
    assert found["rcm_agent_download_bytes_total[]"] == 1500
    assert found["rcm_agent_download_seconds_count[]"] == 2
    assert found["rcm_agent_step_seconds_sum[('step', 'verify')]"] == pytest.approx(0.3)
    assert found["rcm_agent_step_failures_total[('step', 'prove')]"] == 1
    assert found["rcm_agent_orphans_ended_total[]"] == 4
    assert found["rcm_agent_api_errors_total[('kind', 'Unreachable')]"] == 1
    for name in ("containerd_restarts", "rollbacks", "drift_repairs", "conflicts"):
        assert found[f"rcm_agent_{name}_total[]"] == 1


def test_the_watch_is_shown_once_it_is_there(told: metrics.Metrics):
    told.watched(None, 3)
    assert value(told, "rcm_agent_watch_age_seconds") is None
    assert value(told, "rcm_agent_watch_failures") == pytest.approx(3)

    told.watched(12.5, 0)

    assert value(told, "rcm_agent_watch_age_seconds") == pytest.approx(12.5)


def test_wild_words_do_not_become_series(told: metrics.Metrics):
    for number in range(200):
        told.operation("fetch", f"Reason{number}", 1)
        told.step(f"step{number}", 1, done=True)

    found = series(told)
    fetches = [name for name in found if name.startswith("rcm_agent_operations_total")]
    assert len(fetches) == metrics.WORDS + 1
    assert found["rcm_agent_step_seconds_count[('step', 'Other')]"] == 200


def test_every_step_of_an_operation_has_a_series_of_its_own(told: metrics.Metrics):
    for step in (*records.Step, "fetch", "probe", "undo"):
        told.step(step, 1, done=True)

    assert "Other" not in told.text().decode()
    for step in metrics.STEPS:
        assert step in metrics.STEP_SECONDS.help


def test_the_phases_are_the_ones_in_the_help():
    assert all(phase.value in gauges.PHASE.help for phase in Phase)


def test_whatever_goes_on_beats_the_pulse():
    now = [0.0]
    pulse = health.Pulse(lambda: now[0], stuck_s=10)
    told = metrics.Metrics(pulse)
    happenings: list[typing.Callable[[], None]] = [
        lambda: told.turn(1),
        lambda: told.step("restart", 1, done=True),
        lambda: told.fetched(1, 1),
        lambda: told.operation("repair", "Done", 1),
    ]

    for happen in happenings:
        now[0] += 9
        happen()
        assert not pulse.alive()


def test_names_of_metrics_follow_the_rules_of_prometheus():
    for metric in metrics.TABLE:
        assert metric.name.startswith("rcm_agent_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.name.endswith("_seconds") == (metric.unit == "seconds")
        assert metric.help.endswith(".")


def test_metrics_are_an_observer(told: metrics.Metrics):
    observer: watchers.Observer = told
    methods = {name for name in vars(watchers.Silent) if not name.startswith("_")}

    assert all(callable(getattr(observer, name)) for name in methods)


def test_the_table_in_the_readme_is_the_one_in_the_code():
    text = README.read_text("utf-8")
    begin = text.index("<!-- agent metrics:")
    shown = text[text.index("\n", begin) + 1 : text.index("<!-- end of agent metrics")]

    assert shown == metrics.table()
