"""The process with the rights it needs and no more, and with one of them taken away."""

import pathlib

import pytest

from tests.controller_run import cluster, objects
from tests.testbed import controlplane

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]
ROLE = cluster.ROOT / "manifests" / "rbac" / "controller.yaml"
POLICIES = cluster.ROOT / "manifests" / "policy"
USER = "rcm-controller"
SPACE = "rcm-system"


@pytest.fixture
def limited(control_plane: controlplane.ControlPlane) -> pathlib.Path:
    """Give the login of the controller's account: our roles only, and our policies in force."""
    if SPACE not in control_plane.kubectl("get", "namespaces", "--output=name"):
        control_plane.kubectl("create", "namespace", SPACE)
    for policy in sorted(POLICIES.glob("controller-*.yaml")):
        control_plane.kubectl("apply", "-f", str(policy))
    control_plane.kubectl("apply", "-f", str(ROLE))
    return control_plane.user(f"system:serviceaccount:{SPACE}:{USER}")


def test_the_role_is_enough_and_what_is_missing_is_said(
    control_plane: controlplane.ControlPlane, limited: pathlib.Path
):
    here = cluster.Cluster(control_plane, count=2)
    own = ("--lease-namespace", SPACE)
    with here.alive(), cluster.controller(control_plane, "a", *own, login=limited) as process:
        here.apply(objects.shim())
        cluster.until(here.ready, "the Shim is ready")

        assert not [line for line in process.lines() if line["level"] in ("warning", "error")]

        control_plane.kubectl(
            *("patch", "clusterrole", USER, "--type=json", "-p"),
            '[{"op": "replace", "path": "/rules/3/verbs", "value": ["list", "watch"]}]',
        )
        cluster.until(lambda: not may_patch(control_plane, limited), "the right is gone")
        control_plane.kubectl("label", "node", "worker-0", f"{cluster.LABEL}-")
        cluster.until(lambda: here.condition("Degraded") == "True WriteRefused", "it is said")

        control_plane.kubectl("apply", "-f", str(ROLE))
        cluster.until(here.ready, "the label is back", seconds=60)
        cluster.until(lambda: here.condition("Degraded").startswith("False"), "all is well")


def may_patch(plane: controlplane.ControlPlane, login: pathlib.Path) -> bool:
    try:
        said = plane.kubectl("auth", "can-i", "patch", "nodes", f"--kubeconfig={login}")
    except Exception as error:  # noqa: BLE001 - exit code 1 is "no"
        said = str(error)
    return said.strip() == "yes"
