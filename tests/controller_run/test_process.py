"""The real process on a real API server, with nodes that are objects and stand-in agents."""

import contextlib
import signal
import time

import pytest

from rcm_api.client import api, resources
from tests.controller_run import cluster, objects
from tests.testbed import controlplane

pytestmark = [pytest.mark.real, pytest.mark.timeout(90)]


def test_a_shim_becomes_ready_on_all_nodes_and_an_upgrade_too(
    control_plane: controlplane.ControlPlane,
):
    here = cluster.Cluster(control_plane, count=4)
    with here.alive(), cluster.controller(control_plane, "a") as process:
        here.apply(objects.shim())
        cluster.until(here.ready, "the Shim is ready")

        assert here.labelled() == 4
        assert 'rcm_shim_nodes{phase="ready",shim="spin-v2"} 4.0' in process.get("/metrics")
        assert process.get("/healthz") == process.get("/readyz") == "ok\n"

        here.apply(objects.shim(2))
        cluster.until(here.ready, "the upgrade is ready")

        assert here.labelled() == 4
        assert process.stop() == 0
        assert not [line for line in process.lines() if line["level"] in ("warning", "error")]


def two_controllers(plane: controlplane.ControlPlane, stack: contextlib.ExitStack):
    """Start a leader and a standby, and a rollout that is under way."""
    here = cluster.Cluster(plane, count=6, apply_s=0.7)
    stack.enter_context(here.alive())
    first = stack.enter_context(cluster.controller(plane, "a"))
    cluster.until(lambda: here.holder().startswith("a_"), "the first one leads")
    second = stack.enter_context(cluster.controller(plane, "b"))
    cluster.until(lambda: second.get("/readyz") == "ok\n", "the standby is ready")
    here.apply(objects.shim(maxUpdate=1))
    cluster.until(lambda: here.labelled() >= 2, "two nodes are done")
    return here, first, second


def acts(here: cluster.Cluster) -> float:
    """Return the seconds until another node is asked to change."""
    asked = here.asked()
    return cluster.until(lambda: here.asked() > asked, "the next node is asked")


@pytest.mark.parametrize(
    ("end", "most_s"),
    [
        pytest.param(signal.SIGKILL, 20.0, id="killed"),
        pytest.param(signal.SIGTERM, 3.0, id="stopped"),
    ],
)
def test_another_replica_goes_on_where_the_leader_ended(
    control_plane: controlplane.ControlPlane, end: signal.Signals, most_s: float
):
    with contextlib.ExitStack() as stack:
        here, first, _second = two_controllers(control_plane, stack)
        first.process.send_signal(end)
        first.process.wait()
        took_s = acts(here)
        print(f"figure: acted {took_s:.1f} s after {end.name}")
        cluster.until(here.ready, "the Shim is ready")

        assert took_s <= most_s
        assert max(node.restarts for node in here.agents.nodes.values()) == 1


def test_a_leader_that_was_stopped_for_a_while_writes_nothing_when_it_wakes(
    control_plane: controlplane.ControlPlane,
):
    with contextlib.ExitStack() as stack:
        here, first, second = two_controllers(control_plane, stack)
        first.process.send_signal(signal.SIGSTOP)
        cluster.until(lambda: here.holder().startswith("b_"), "the standby leads")
        first.process.send_signal(signal.SIGCONT)
        before = writes(first)
        cluster.until(here.ready, "the Shim is ready")

        assert writes(first) == before
        assert writes(second) > 0
        assert here.holder().startswith("b_")
        assert max(node.restarts for node in here.agents.nodes.values()) == 1


def writes(process: cluster.Process) -> float:
    lines = process.get("/metrics").splitlines()
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("rcm_writes_total{")
    )


def test_an_edit_reaches_the_first_node_within_a_second(control_plane: controlplane.ControlPlane):
    here = cluster.Cluster(control_plane, count=4)
    with here.alive(), cluster.controller(control_plane, "a"):
        here.apply(objects.shim())
        cluster.until(here.ready, "the Shim is ready")
        before = [runtime.spec for runtime in here.runtimes()]
        edit = api.Patch({"spec": objects.shim(2)["spec"]})
        here.asks.patch(resources.SHIMS, "spin-v2", edit, decode=api.ignore)
        took_s = cluster.until(lambda: [r.spec for r in here.runtimes()] != before, "an edit")
        print(f"figure: an edit reached the first node after {took_s:.2f} s")

        assert took_s <= 1.0


def test_a_rollout_goes_on_when_the_api_server_was_away(
    fresh_control_plane: controlplane.ControlPlane,
):
    here = cluster.Cluster(fresh_control_plane, count=5)
    with here.alive(), cluster.controller(fresh_control_plane, "a"):
        here.apply(objects.shim(maxUpdate=1))
        cluster.until(lambda: here.labelled() >= 1, "one node is done")
        fresh_control_plane.api_server.kill()
        time.sleep(4)
        fresh_control_plane.api_server.start()
        fresh_control_plane.wait_ready()
        cluster.until(here.ready, "the Shim is ready", seconds=60)

        assert max(node.restarts for node in here.agents.nodes.values()) == 1
