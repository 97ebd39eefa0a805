"""What is left of us: whom an uninstallation waits for, and what it says."""

import json
import subprocess
import sys

import pytest

from rcm_api import noderuntime
from rcm_api.noderuntime import Phase, ShimObserved
from rcm_controller import clean, wait_clean
from tests.controller_run import cluster, objects
from tests.testbed import controlplane


def shim(name: str, *, going: bool = False) -> clean.Shim:
    metadata = {"name": name, **({"deletionTimestamp": "2026-11-22T00:00:00Z"} if going else {})}
    return clean.parse(json.dumps({"metadata": metadata, "spec": "not even an object"}))


def node(name: str, *seen: ShimObserved) -> noderuntime.NodeRuntime:
    return noderuntime.NodeRuntime(
        metadata=noderuntime.Metadata(name=name), status=noderuntime.Status(shims=seen)
    )


@pytest.mark.parametrize(
    ("shims", "says"),
    [
        pytest.param((), "", id="none"),
        pytest.param(
            (shim("spin-v2"),),
            "1 Shim: spin-v2: delete with `kubectl delete shims --all`",
            id="one",
        ),
        pytest.param(
            (shim("b", going=True), shim("a", going=True)),
            "2 Shims: a, b, being removed from nodes",
            id="all going",
        ),
        pytest.param(
            (shim("a", going=True), shim("b")),
            "1 Shim: b: delete with `kubectl delete shims --all`",
            id="one of two is going",
        ),
    ],
)
def test_shims_that_are_left(shims, says):
    assert clean.shims_left(shims) == says


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        pytest.param((node("a"),), "", id="never had one"),
        pytest.param((node("a", ShimObserved("s", Phase.ABSENT)),), "", id="absent"),
        pytest.param(
            (node("a", ShimObserved("s", Phase.ABSENT, digest="d")),),
            "1 entry: a has s (Absent)",
            id="absent in words only",
        ),
        pytest.param(
            (node("a", ShimObserved("s", Phase.DRAINING, in_use=2)),),
            "1 entry: a has s (Draining, used by 2 sandboxes)",
            id="draining",
        ),
        pytest.param(
            (node("a", ShimObserved("s", Phase.FAILED, reason="Unreachable")),),
            "1 entry: a has s (Failed Unreachable)",
            id="failed",
        ),
        pytest.param(
            tuple(node(f"n{i}", ShimObserved("s", Phase.READY)) for i in range(7)),
            "7 entries: n0 has s (Ready), n1 has s (Ready), n2 has s (Ready), n3 has s (Ready),"
            " n4 has s (Ready) and 2 more",
            id="many",
        ),
    ],
)
def test_nodes_that_are_not_clean(nodes, says):
    assert clean.nodes_left(nodes) == says


def wait(answers: list[str], *, patience: int) -> tuple[str, int]:
    """Look at the answers one after the other, one a second."""
    looked = 0

    def look() -> str:
        nonlocal looked
        looked += 1
        return answers[min(looked, len(answers)) - 1]

    problem = wait_clean.wait(look, until=patience, now=lambda: looked, pause=lambda _s: False)
    return problem, looked


def test_it_waits_and_says_each_thing_once(capsys):
    assert wait(["a", "a", "b", ""], patience=10) == ("", 4)
    assert capsys.readouterr().out == "waiting: a\nwaiting: b\n"


def test_it_gives_up_with_what_is_left():
    problem, looked = wait(["a"], patience=3)

    assert looked == 3
    assert problem.startswith("not clean: a. Nothing was deleted")


def command(plane: controlplane.ControlPlane, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "rcm_controller", "wait-clean", *words]
    login = ("--kubeconfig", str(plane.kubeconfig))
    return subprocess.run([*argv, *login], capture_output=True, text=True, check=False)


@pytest.mark.real
@pytest.mark.timeout(60)
def test_the_command_waits_for_the_last_shim(control_plane: controlplane.ControlPlane):
    cluster.install(control_plane, cluster.client(control_plane))
    control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(objects.shim()))

    left = command(control_plane, "--timeout", "1s")
    control_plane.kubectl("delete", "shims", "--all")
    clean_now = command(control_plane, "--timeout", "30s")

    assert left.returncode == 1
    assert "1 Shim: spin-v2: delete with" in left.stdout
    assert (clean_now.returncode, clean_now.stderr) == (0, "")
    assert clean_now.stdout == "no Shim is left, and all nodes are clean\n"


def test_a_bad_span_ends_with_2():
    argv = [sys.executable, "-m", "rcm_controller", "wait-clean", "--timeout", "soon"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "write for example 90s" in done.stderr
