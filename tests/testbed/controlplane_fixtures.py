"""pytest's door to a real API server.

`control_plane` is one that the tests of a process share: each test finds it without objects of
others that it could see in its own lists (`wipe`). `fresh_control_plane` is a test's own, to kill.
Where it cannot run, tests are skipped with the reason; RCM_TESTBED=required makes that a failure.
"""

import collections.abc
import os

import msgspec
import pytest

from tests.testbed import controlplane, kube

_PROPERTY = "kubernetes"
OURS = ("spinkube.dev", "rcm.test")
"""Objects of groups that end so are removed after each test."""
_BUILT_IN = (
    "/api/v1/nodes",
    "/api/v1/namespaces/default/events",
    "/apis/coordination.k8s.io/v1/namespaces/default/leases",
    "/apis/node.k8s.io/v1/runtimeclasses",
)


@pytest.fixture(scope="session")
def shared_control_plane(
    tmp_path_factory: pytest.TempPathFactory,
) -> collections.abc.Iterator[controlplane.ControlPlane]:
    """Start the control plane that tests of this process share: etcd and API server only."""
    need_kubernetes()
    with controlplane.start(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest.fixture
def control_plane(
    request: pytest.FixtureRequest, shared_control_plane: controlplane.ControlPlane
) -> collections.abc.Iterator[controlplane.ControlPlane]:
    """Give the shared control plane; what the test left in it is removed."""
    _count(request)
    yield shared_control_plane
    wipe(shared_control_plane)


@pytest.fixture
def fresh_control_plane(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> collections.abc.Iterator[controlplane.ControlPlane]:
    """Give a control plane for the test alone; it takes some seconds to start."""
    need_kubernetes()
    _count(request)
    with controlplane.start(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


def wipe(plane: controlplane.ControlPlane) -> None:
    """Remove all objects of the kinds that tests make; definitions of kinds stay."""
    for path in (*_custom(plane), *_BUILT_IN):
        for item in msgspec.json.decode(plane.get(path)).get("items", ()):
            name = item["metadata"]["name"]
            if item["metadata"].get("finalizers"):
                plane.ask("PATCH", f"{path}/{name}", {"metadata": {"finalizers": None}})
            plane.ask("DELETE", f"{path}/{name}", {"gracePeriodSeconds": 0})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests ran against a real API server."""
    count = sum(
        report.when == "call" and (_PROPERTY, kube.VERSION) in report.user_properties
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    )
    if count:
        terminalreporter.write_line(f"tests against real Kubernetes: {kube.VERSION}: {count}")


def _custom(plane: controlplane.ControlPlane) -> collections.abc.Iterator[str]:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for item in msgspec.json.decode(plane.get(path))["items"]:
        spec = item["spec"]
        served = any(each["type"] == "Established" for each in item["status"]["conditions"])
        if served and spec["group"].endswith(OURS):
            yield f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"


def _count(request: pytest.FixtureRequest) -> None:
    request.node.user_properties.append((_PROPERTY, kube.VERSION))


def need_kubernetes() -> None:
    """Skip the test, with the reason, where Kubernetes is not built."""
    if kube.is_built():
        return
    reason = "Kubernetes is not built yet: run `python -m tests.testbed build kubernetes`"
    if os.environ.get("RCM_TESTBED") == "required":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
