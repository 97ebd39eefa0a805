"""The threads of a process, over a model of the API server."""

import contextlib
import threading
from collections.abc import Iterator

import pytest
import urllib3

from rcm_api.client import resources
from rcm_controller import rollout, run, settings
from tests.controller_run import cluster, objects, rig
from tests.fakes.apiserver import faulty, kinds

CHOSEN = settings.Settings(metrics_host="127.0.0.1", metrics_port=0, lease_namespace="default")


@contextlib.contextmanager
def running(here: rig.Rig) -> Iterator[run.Program]:
    """Run a program beside the test, until the end of the block."""
    program = run.Program(faulty.Faulty(here.server), CHOSEN, identity="me")
    stop = threading.Event()
    thread = threading.Thread(target=program.run, args=(stop,))
    thread.start()
    try:
        yield program
    finally:
        stop.set()
        thread.join(timeout=5)
    assert not thread.is_alive()


def ready(here: rig.Rig) -> bool:
    """Let the agents work a little; whether the Shim is ready."""
    here.run(0.1)
    return here.ready()


def ours() -> list[threading.Thread]:
    names = ("write", "plan", "lease", "watch", "health")
    return [thread for thread in threading.enumerate() if thread.name.startswith(names)]


def page(program: run.Program, path: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{program._health.port}{path}"
    answer = urllib3.request("GET", url, retries=False)
    return answer.status, answer.data.decode()


def test_a_program_rolls_out_and_hands_over_when_it_stops():
    here = rig.Rig()
    here.apply(objects.shim())
    with running(here) as program:
        cluster.until(lambda: ready(here), "the Shim is ready", seconds=8)

        assert page(program, "/readyz") == (200, "ok\n")
        assert "rcm_leader 1.0" in page(program, "/metrics")[1]
        assert 'rcm_lists{kind="Node"} 1.0' in page(program, "/metrics")[1]

    lease = here.server.document(resources.LEASES, "rcm-controller", "default")
    assert lease["spec"]["holderIdentity"] == ""
    cluster.until(lambda: not ours(), "all threads end")


def test_an_error_that_nobody_expected_is_counted_and_survived(monkeypatch: pytest.MonkeyPatch):
    here = rig.Rig()
    here.apply(objects.shim())
    plan, broken = rollout.plan, iter([True, True])

    def sometimes(seen: object) -> object:
        if next(broken, False):
            raise ZeroDivisionError
        return plan(seen)

    monkeypatch.setattr(rollout, "plan", sometimes)
    monkeypatch.setattr(run, "SURPRISE", run.backoff.Backoff(base_s=0.01))
    with running(here) as program:
        cluster.until(lambda: ready(here), "the Shim is ready", seconds=8)

        assert 'rcm_loop_errors_total{loop="plan"} 2.0' in page(program, "/metrics")[1]


def test_pages_tell_a_loop_that_hangs_and_kinds_that_are_missing():
    here = rig.Rig()
    here.server.undefine(resources.SHIMS)
    with running(here) as program:
        cluster.until(lambda: "Node " not in page(program, "/readyz")[1], "nodes are listed")
        status, text = page(program, "/readyz")

        assert status == 503
        assert text.startswith("Shim not listed yet: ")
        assert "404" in text
        assert 'rcm_watch_failures{kind="Shim"}' in page(program, "/metrics")[1]
        assert page(program, "/healthz") == (200, "ok\n")

        here.server.define(kinds.custom(resources.SHIMS))
        cluster.until(lambda: page(program, "/readyz")[0] == 200, "all are listed")


def test_a_loop_that_has_not_moved_for_a_minute_is_not_alive():
    here = rig.Rig()
    program = run.Program(here.server, CHOSEN, identity="me")
    program._controller.stepped_at -= 61

    assert program._alive() == "the loop has not moved for 61 s"

    program._health._server.server_close()


def test_without_election_the_only_replica_writes_at_once():
    here = rig.Rig()
    here.apply(objects.shim())
    alone = settings.Settings(metrics_host="127.0.0.1", metrics_port=0, leader_elect=False)
    program = run.Program(here.server, alone, identity="me")
    stop = threading.Event()
    thread = threading.Thread(target=program.run, args=(stop,))
    thread.start()
    cluster.until(lambda: ready(here), "the Shim is ready", seconds=8)
    stop.set()
    thread.join()

    assert here.server.documents(resources.LEASES) == []
