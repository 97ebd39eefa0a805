"""Every manifest renders, and holds what was promised about rights and places."""

import re

import pytest
import yaml

from tests.manifests import rendering

pytestmark = [pytest.mark.real, pytest.mark.timeout(60)]
HOST_PATHS = {
    "/etc/containerd": ("DirectoryOrCreate", False),
    "/opt/rcm": ("DirectoryOrCreate", False),
    "/run/rcm": ("DirectoryOrCreate", False),
    "/run/containerd": ("Directory", True),
    "/run/systemd/private": ("Socket", True),
}
"""Path: type, and whether it is read-only."""
PLACES = {
    "vanilla": {"/etc/containerd", "/run/containerd"},
    "k3s": {"/var/lib/rancher/k3s/agent/etc/containerd", "/run/k3s/containerd"},
    "rke2": {"/var/lib/rancher/rke2/agent/etc/containerd", "/run/k3s/containerd"},
    "k0s": {"/etc/k0s/containerd.d", "/run/k0s"},
    "microk8s": {"/var/snap/microk8s/current/args", "/var/snap/microk8s/common/run"},
}
"""facts of distributions: where the configuration is edited, and the directory of the socket."""
OURS = {"/opt/rcm", "/run/rcm", "/run/systemd/private"}


def base() -> rendering.Objects:
    return rendering.objects(rendering.kustomized("base"))


def mounts(pod: rendering.Object) -> dict[str, tuple[str, bool]]:
    """Return what is mounted from the host, by path; each is at the same path in the Pod."""
    volumes = {v["name"]: v["hostPath"] for v in pod["volumes"]}
    found = {}
    for mount in pod["containers"][0]["volumeMounts"]:
        source = volumes.pop(mount["name"])
        assert source["path"] == mount["mountPath"]
        found[source["path"]] = (source["type"], mount.get("readOnly", False))
    assert not volumes, "mounted nowhere"
    return found


def test_every_manifest_parses():
    for path in rendering.MANIFESTS.rglob("*.yaml"):
        if "templates" not in path.parts:
            assert list(yaml.safe_load_all(path.read_text())), path


@pytest.mark.parametrize("name", rendering.OVERLAYS)
def test_an_overlay_differs_in_two_places_of_the_agent_only(name):
    found = rendering.objects(rendering.kustomized(f"overlays/{name}"))
    daemons = ("DaemonSet", "rcm-agents", "rcm-agent")

    assert {k: v for k, v in found.items() if k != daemons} == {
        k: v for k, v in base().items() if k != daemons
    }
    assert set(mounts(rendering.pod_of(found, "DaemonSet"))) == PLACES[name] | OURS


def test_an_agent_mounts_five_places_of_its_host():
    assert mounts(rendering.pod_of(base(), "DaemonSet")) == HOST_PATHS


def test_an_agent_is_not_privileged():
    pod = rendering.pod_of(base(), "DaemonSet")
    (container,) = pod["containers"]

    assert not {"hostPID", "hostIPC", "hostNetwork", "initContainers"} & set(pod)
    assert pod["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"] == {
        "runAsUser": 0,
        "runAsGroup": 0,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_an_agent_is_on_every_linux_node_and_ends_no_pod_for_it():
    pod = rendering.pod_of(base(), "DaemonSet")
    priority = base()["PriorityClass", "", pod["priorityClassName"]]

    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert priority["preemptionPolicy"] == "Never"
    assert pod["terminationGracePeriodSeconds"] == 120


def test_agents_are_renewed_a_few_at_a_time():
    daemons = base()["DaemonSet", "rcm-agents", "rcm-agent"]

    assert daemons["spec"]["updateStrategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "10%"},
    }


def test_a_second_controller_stands_by_and_one_stays_in_a_drain():
    deployment = base()["Deployment", "rcm-system", "rcm-controller"]
    budget = base()["PodDisruptionBudget", "rcm-system", "rcm-controller"]

    assert deployment["spec"]["replicas"] == 2
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"] == deployment["spec"]["selector"]


def test_only_the_agents_namespace_allows_mounts_of_hosts():
    enforced = {
        name: document["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for (kind, _, name), document in base().items()
        if kind == "Namespace"
    }

    assert enforced == {"rcm-system": "restricted", "rcm-agents": "privileged"}


def test_every_container_has_a_version_a_request_and_a_limit_of_memory():
    for kind in ("Deployment", "DaemonSet"):
        for container in rendering.pod_of(base(), kind)["containers"]:
            assert re.search(r":\d+\.\d+\.\d+$", container["image"]), container["image"]
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert set(container["resources"]["limits"]) == {"memory"}
            assert {"livenessProbe", "readinessProbe"} <= set(container)


def test_everything_says_whose_it_is():
    for key, document in base().items():
        labels = document["metadata"].get("labels", {})
        assert labels.get("app.kubernetes.io/part-of") == "runtime-class-manager", key


def test_pods_are_found_by_services_of_health_and_metrics_only():
    policies = {k: v["spec"] for k, v in base().items() if k[0] == "NetworkPolicy"}

    assert len(policies) == 2
    for (_, _, name), spec in policies.items():
        port = {"rcm-controller": 8080, "rcm-agent": 8081}[name]
        assert spec["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": name}}
        assert spec["ingress"] == [{"ports": [{"protocol": "TCP", "port": port}]}]
