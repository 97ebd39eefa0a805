"""The Helm chart installs what kustomize installs, and takes values that make sense."""

import subprocess

import pytest

from tests.manifests import golden, rendering

pytestmark = [pytest.mark.real, pytest.mark.timeout(60)]
KEEP = {"helm.sh/resource-policy": "keep"}
HOOK = ("Job", "rcm-system", "rcm-wait-clean")
RELEASE_NAMESPACE = ("Namespace", "", "rcm-system")


def kustomized(folder: str) -> rendering.Objects:
    """Return what kustomize makes, less what Helm leaves to its user."""
    found = rendering.objects(rendering.kustomized(folder))
    del found[RELEASE_NAMESPACE]
    return found


def charted(*words: str) -> rendering.Objects:
    """Return what Helm makes, less the hook and what keeps CRDs."""
    found = rendering.objects(rendering.charted(*words))
    del found[HOOK]
    for key, document in found.items():
        if key[0] == "CustomResourceDefinition":
            assert document["metadata"].pop("annotations") == KEEP
    return found


@pytest.mark.parametrize("name", rendering.OVERLAYS)
def test_the_chart_makes_the_objects_of_an_overlay(name):
    assert charted(f"--set=agent.distribution={name}") == kustomized(f"overlays/{name}")


def test_numbers_stay_as_they_are_written():
    assert "e+" not in rendering.charted()


def test_lint_finds_nothing():
    assert "0 chart(s) failed" in rendering.helmed("lint", "--strict", str(rendering.CHART))


def test_every_value_goes_where_it_belongs():
    assert golden.rendered() == golden.FILE.read_text(), "python -m tests.manifests.golden"


def test_another_namespace_is_in_every_place():
    text = rendering.helmed(
        *("template", "rcm", str(rendering.CHART), "--namespace=one", "--set=agent.namespace=two")
    )

    assert "rcm-system" not in text
    assert "rcm-agents" not in text
    assert "system:serviceaccount:one:rcm-controller" in text
    assert "system:serviceaccount:two:rcm-agent" in text


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        pytest.param("crds.install=false", {"CustomResourceDefinition"}, id="crds"),
        pytest.param("networkPolicy.enabled=false", {"NetworkPolicy"}, id="network policy"),
        pytest.param("agent.createNamespace=false", {"Namespace"}, id="namespace"),
        pytest.param("waitClean.enabled=false", {"Job"}, id="hook"),
    ],
)
def test_what_is_turned_off_is_not_there(words, gone):
    usual = {key[0] for key in rendering.objects(rendering.charted())}
    found = {key[0] for key in rendering.objects(rendering.charted(f"--set={words}"))}

    assert usual - found == gone


def test_pod_monitors_are_those_of_the_component():
    found = rendering.objects(rendering.charted("--set=podMonitors.enabled=true"))
    path = rendering.MANIFESTS / "components" / "pod-monitors" / "pod-monitors.yaml"
    wanted = rendering.objects(path.read_text())

    assert {k: v for k, v in found.items() if k[0] == "PodMonitor"} == wanted
    for (_, namespace, name), monitor in wanted.items():
        kind = {"rcm-controller": "Deployment", "rcm-agent": "DaemonSet"}[name]
        pods = found[kind, namespace, name]["spec"]
        ports = [p["name"] for p in pods["template"]["spec"]["containers"][0]["ports"]]
        assert monitor["spec"]["selector"] == pods["selector"]
        assert [e["port"] for e in monitor["spec"]["podMetricsEndpoints"]] == ports


@pytest.mark.parametrize(
    ("word", "says"),
    [
        pytest.param("agent.distribution=talos", "agent.distribution", id="distribution"),
        pytest.param("agent.image.tag=latest", "agent.image.tag", id="latest"),
        pytest.param("controller.replicas=0", "controller.replicas", id="no replica"),
        pytest.param("agent.maxUnavailable=0", "agent.maxUnavailable", id="no update"),
        pytest.param("agent.maxUnavailable=200%", "agent.maxUnavailable", id="too many"),
        pytest.param("agent.privileged=true", "privileged", id="unknown"),
        pytest.param("ctrl.replicas=1", "ctrl", id="misspelled"),
        pytest.param("controller.extraArgs={debug}", "controller.extraArgs", id="no flag"),
        pytest.param("agent.namespace=rcm-system", "must not be the release's", id="namespace"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(word, says):
    with pytest.raises(subprocess.CalledProcessError) as refused:
        rendering.charted(f"--set={word}")

    assert says.replace(".", "/") in refused.value.stderr.replace(".", "/")


def test_deletion_waits_for_clean_nodes_with_the_controllers_rights():
    found = rendering.objects(rendering.charted())
    job = found[HOOK]
    pod, model = rendering.pod_of({HOOK: job}, "Job"), rendering.pod_of(found, "Deployment")

    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    assert pod["containers"][0]["command"] == ["rcm-controller", "wait-clean"]
    for same in ("serviceAccountName", "securityContext", "nodeSelector", "tolerations"):
        assert pod[same] == model[same]
    for same in ("image", "securityContext"):
        assert pod["containers"][0][same] == model["containers"][0][same]
    # Else the disruption budget and the network policy would count it.
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == "rcm-wait-clean"
