"""A real API server takes the chart, its upgrade and its end; Pod Security judges the Pods."""

import collections.abc
import json
import pathlib
import shutil
import subprocess

import msgspec
import pytest

from tests.manifests import rendering
from tests.testbed import controlplane, controlplane_fixtures, errors, helm

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/shims.runtime.spinkube.dev"
DEPLOYMENT = ("get", "deployment", "rcm-controller", "-n", "rcm-system")
SHIM = rendering.MANIFESTS / "samples" / "shim-spin.yaml"


@pytest.fixture(scope="module")
def plane(
    tmp_path_factory: pytest.TempPathFactory,
) -> collections.abc.Iterator[controlplane.ControlPlane]:
    """A server of one's own: namespaces that a release deletes are never gone without controllers."""
    controlplane_fixtures.need_kubernetes()
    rendering.need(built=helm.is_built(), part="helm")
    with controlplane.start(tmp_path_factory.mktemp("control-plane")) as found:
        yield found


@pytest.fixture(autouse=True)
def counted(request: pytest.FixtureRequest) -> None:
    controlplane_fixtures._count(request)


def helmed(plane: controlplane.ControlPlane, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [
        str(helm.program()),
        *words,
        "--namespace=rcm-system",
        f"--kubeconfig={plane.kubeconfig}",
    ]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def description(plane: controlplane.ControlPlane) -> str:
    found = msgspec.json.decode(plane.get(CRD))
    return found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"]


def newer_chart(directory: pathlib.Path) -> tuple[pathlib.Path, str]:
    """Return a chart whose CRD of Shims says something else, and what."""
    chart = directory / "chart"
    shutil.copytree(rendering.CHART, chart)
    path = chart / "files" / "crd" / "shims.yaml"
    text = path.read_text()
    before = next(line for line in text.splitlines() if line.strip().startswith("description:"))
    path.write_text(
        text.replace(before, before.split("description:")[0] + "description: Newer.", 1)
    )
    return chart, "Newer."


def done(plane: controlplane.ControlPlane, *words: str) -> None:
    found = helmed(plane, *words)
    assert found.returncode == 0, found.stderr


def test_a_release_upgrades_its_crds_and_leaves_them_behind(
    plane: controlplane.ControlPlane, tmp_path: pathlib.Path
):
    plane.kubectl("create", "namespace", "shims")
    own = ("--create-namespace", "--set=agent.namespace=shims", "--set=agent.createNamespace=false")
    install = ("install", "rcm", str(rendering.CHART), *own)
    chart, newer = newer_chart(tmp_path)

    done(plane, *install)
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    plane.kubectl("apply", "--filename", str(SHIM))
    done(plane, "upgrade", "rcm", str(chart), *own[1:])
    assert description(plane) == newer

    unfinished_hook_keeps_everything(plane)
    done(plane, "uninstall", "rcm", "--no-hooks")
    with pytest.raises(errors.CommandError):
        plane.kubectl(*DEPLOYMENT)
    assert "spin" in plane.kubectl("get", "shims"), "kinds and objects stay"

    done(plane, *install)
    assert description(plane) != newer


def unfinished_hook_keeps_everything(plane: controlplane.ControlPlane) -> None:
    """Nothing runs here, so the hook's Job stays as it is while nodes are not clean."""
    assert helmed(plane, "uninstall", "rcm", "--timeout=3s").returncode != 0
    assert plane.kubectl(*DEPLOYMENT)
    job = json.loads(plane.kubectl("get", "job", "rcm-wait-clean", "-n", "rcm-system", "-o=json"))
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["--timeout=240s"]


def judged(plane: controlplane.ControlPlane, level: str, pod: rendering.Object) -> tuple[bool, str]:
    """Ask for a Pod in a namespace of a Pod Security level; return the answer and its reason."""
    namespace = f"is-{level}"
    label = f"pod-security.kubernetes.io/enforce={level}"
    plane.kubectl("create", "namespace", namespace)
    plane.kubectl("label", "namespace", namespace, label)
    plane.kubectl("create", "serviceaccount", pod["serviceAccountName"], "-n", namespace)
    spec = {k: v for k, v in pod.items() if k != "priorityClassName"}
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "judged", "namespace": namespace},
        "spec": spec,
    }
    try:
        plane.kubectl("create", "--dry-run=server", "-f-", stdin=json.dumps(document))
    except errors.CommandError as error:
        return False, str(error)
    return True, ""


def test_the_controller_is_restricted(plane: controlplane.ControlPlane):
    pod = rendering.pod_of(rendering.objects(rendering.kustomized("base")), "Deployment")

    assert judged(plane, "restricted", pod) == (True, "")


def test_nothing_but_its_mounts_makes_an_agent_more_than_baseline(
    plane: controlplane.ControlPlane,
):
    pod = rendering.pod_of(rendering.objects(rendering.kustomized("base")), "DaemonSet")

    accepted, reason = judged(plane, "baseline", pod)

    assert not accepted
    wrong = reason.partition('violates PodSecurity "baseline:latest": ')[2].strip()
    assert wrong.startswith("hostPath volumes (volumes ")
    assert "), " not in wrong, "one violation, and no second"


def test_the_server_knows_every_field(plane: controlplane.ControlPlane):
    text = rendering.kustomized("base")
    found = rendering.objects(text)
    namespaces = {"kind": "List", "apiVersion": "v1"}
    namespaces["items"] = [d for key, d in found.items() if key[0] == "Namespace"]
    plane.kubectl("apply", "-f-", stdin=json.dumps(namespaces))

    said = plane.kubectl("apply", "--dry-run=server", "--validate=strict", "-f-", stdin=text)

    assert len(said.splitlines()) == len(found)
