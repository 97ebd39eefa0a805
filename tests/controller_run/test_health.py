"""Health pages, metrics and the log, as others read them."""

import io
import json
import pathlib
import re

import pytest
import structlog
import structlog.testing
import urllib3
from prometheus_client import parser

from rcm_api import log, noderuntime, serving, shim_status
from rcm_api.client import errors, reflector
from rcm_controller import budget, cli, gauges, leader, metrics, store, watches
from tests.controller_run import test_store
from tests.controller_run.hands import Hands

README = pathlib.Path(__file__).parents[2] / "README.md"


@pytest.fixture
def server():
    problems = {"alive": "", "ready": "not yet"}
    found = serving.Server(
        ("127.0.0.1", 0),
        alive=lambda: problems["alive"],
        ready=lambda: problems["ready"],
        metrics=lambda: b"rcm_leader 1.0\n",
    )
    found.start()
    yield found
    found.stop()


def ask(server: serving.Server, path: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{server.port}{path}"
    answer = urllib3.request("GET", url, retries=False)
    return answer.status, answer.data.decode()


def test_pages_say_what_is_wrong(server: serving.Server):
    assert ask(server, "/healthz") == (200, "ok\n")
    assert ask(server, "/readyz?verbose=1") == (503, "not yet\n")
    assert ask(server, "/metrics") == (200, "rcm_leader 1.0\n")
    assert ask(server, "/secret")[0] == 404


def test_an_address_that_is_taken_is_an_error(server: serving.Server):
    with pytest.raises(OSError, match="in use"):
        serving.Server(("127.0.0.1", server.port), alive=str, ready=str, metrics=bytes)


def shown(nodes: int) -> str:
    caches, told = store.Store(told=metrics.Metrics()), metrics.Metrics()
    failed = {"name": "spin-v2", "phase": "RolledBack", "reason": "ProofFailed"}
    caches.shims.replace(
        [test_store.shim(status={"nodes": nodes, "nodesFailed": nodes})], version="5"
    )
    caches.runtimes.replace(
        [test_store.runtime(f"n{n}", n + 1, shims=[failed]) for n in range(nodes)], version="9"
    )
    gauges.show(
        told,
        caches=caches,
        leadership=leader.Alone(),
        limit=budget.Budget(per_s=5, time=Hands()),
    )
    return told.text().decode()


def test_metrics_tell_phases_failures_and_budget():
    text = shown(3)

    assert 'rcm_shim_nodes{phase="failed",shim="spin-v2"} 3.0' in text
    assert 'rcm_shim_failed_nodes{reason="ProofFailed",shim="spin-v2"} 3.0' in text
    assert "rcm_write_budget_tokens 5.0" in text
    assert "rcm_leader 1.0" in text


def test_the_number_of_series_does_not_grow_with_nodes():
    assert len(shown(2).splitlines()) == len(shown(500).splitlines())


def test_every_reason_of_a_wild_agent_does_not_become_a_series():
    caches, told = store.Store(told=metrics.Metrics()), metrics.Metrics()
    caches.shims.replace([test_store.shim()], version="5")
    wild = [
        test_store.runtime(
            f"n{n}", n + 1, shims=[{"name": "spin-v2", "phase": "Failed", "reason": f"R{n}"}]
        )
        for n in range(200)
    ]
    caches.runtimes.replace(wild, version="900")
    limit = budget.Budget(per_s=5, time=Hands())
    gauges.show(told, caches=caches, leadership=leader.Alone(), limit=limit)
    lines = re.findall(r"rcm_shim_failed_nodes\{.*", told.text().decode())

    assert len(lines) == gauges.REASONS + 1
    assert 'rcm_shim_failed_nodes{reason="Other",shim="spin-v2"} 150.0' in lines


def test_all_phases_of_a_status_are_shown():
    phases = {f for f in shim_status.ShimStatus.__struct_fields__ if f.startswith("nodes_")}

    assert phases == {f"nodes_{phase}" for phase in gauges._phases(shim_status.ShimStatus())}
    assert noderuntime.Phase.FAILED in gauges.FAILED


def test_names_of_metrics_follow_the_rules_of_prometheus():
    for metric in metrics.TABLE:
        assert metric.name.startswith("rcm_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.name.endswith("_seconds") == (metric.unit == "seconds")
        assert "node" not in metric.labels


def test_prometheus_can_read_it():
    families = {f.name: f for f in parser.text_string_to_metric_families(shown(3))}

    for metric in metrics.TABLE:
        found = families.get(metric.name.removesuffix("_total"))
        if found is not None:
            assert found.type == metric.kind
            assert found.documentation == metric.help
    assert {"rcm_shim_nodes", "rcm_writes", "rcm_plan_seconds"} <= families.keys()


def test_the_table_in_the_readme_is_the_one_in_the_code():
    text = README.read_text("utf-8")
    begin = text.index("<!-- metrics:")
    shown = text[text.index("\n", begin) + 1 : text.index("<!-- end of metrics")]

    assert shown == metrics.table()


def test_every_option_is_in_the_readme():
    text = README.read_text("utf-8")
    options = {o for a in cli._parser()._actions for o in a.option_strings if o.startswith("--")}
    shown = text.replace("[no-]", "")

    missing = {o for o in options - {"--help"} if f"`{o.replace('--no-', '--')}" not in shown}
    assert missing == set()


def test_a_watch_that_fails_is_told_once_and_its_end_too():
    health = reflector.Health()
    told = watches.Watches({"Node": health}, time=Hands())
    with structlog.testing.capture_logs() as lines:
        for failures in (1, 2, 3, 4, 5, 0, 0):
            health.failures = failures
            health.error = errors.Unreachable("no route") if failures else None
            told.tell()

    assert [line["event"] for line in lines] == ["watch fails", "watch works again"]
    assert lines[0]["problem"] == "no route"


@pytest.fixture
def _default_log():
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_default_log")
def test_a_line_of_the_log_is_one_json_object():
    stream = io.StringIO()
    log.configure(stream, as_json=True, debug=False)
    structlog.get_logger().info("leader now", term=1)
    structlog.get_logger().debug("chatter")
    (line,) = stream.getvalue().splitlines()

    assert json.loads(line)["message"] == "leader now"


@pytest.mark.usefixtures("_default_log")
def test_a_person_reads_columns():
    stream = io.StringIO()
    log.configure(stream, as_json=False, debug=True)
    structlog.get_logger().debug("leader now", term=1)

    assert "leader now" in stream.getvalue()
    assert "term=1" in stream.getvalue()
