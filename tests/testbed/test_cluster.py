"""A cluster is what the e2e tests take it for: pods run and talk, nodes come, go and come back."""

from __future__ import annotations

import collections.abc
import contextlib
import json
import pathlib
import signal
import subprocess
import sys

import docker
import pytest

from tests.testbed import (
    cluster_fixtures,
    clusters,
    errors,
    fileserver,
    kept,
    kube,
    labels,
    program_images,
    waiting,
)

pytestmark = [
    pytest.mark.node,
    pytest.mark.real,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("testbed"),
]

ASK_API = """
import os, ssl, urllib.request
where = "/var/run/secrets/kubernetes.io/serviceaccount"
url = "https://{KUBERNETES_SERVICE_HOST}:{KUBERNETES_SERVICE_PORT}/api/v1/namespaces/default/pods"
request = urllib.request.Request(url.format(**os.environ))
request.add_header("Authorization", "Bearer " + open(where + "/token").read())
tls = ssl.create_default_context(cafile=where + "/ca.crt")
try:
    print(urllib.request.urlopen(request, context=tls).status)
except urllib.error.HTTPError as error:
    print(error.status, error.read().decode())
"""


def pod(name: str, *command: str, node: str = "", **spec: object) -> str:
    image = program_images.python().ref
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
    }
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "containers": [container],
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            **({"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}),
            **spec,
        },
    }
    return json.dumps(body)


@pytest.fixture
def run(
    cluster: clusters.Cluster,
    python_image: str,  # noqa: ARG001 -- pods have it
) -> collections.abc.Iterator[collections.abc.Callable[..., None]]:
    """Create pods, and remove them after the test."""

    def create(name: str, *command: str, **spec: object) -> None:
        names.append(name)
        cluster.kubectl("apply", "-f", "-", stdin=pod(name, *command, **spec))

    names: list[str] = []
    yield create
    cluster.kubectl("delete", "pod", "--force", "--ignore-not-found", *names)


def phase(cluster: clusters.Cluster, name: str) -> str:
    return str(cluster.get("pod", name)["status"].get("phase"))


def ends(cluster: clusters.Cluster, name: str) -> str:
    """Wait until a pod has succeeded; return what it printed."""
    cluster.wait(f"{name} to succeed", lambda: phase(cluster, name), good="Succeeded".__eq__)
    return cluster.kubectl("logs", name)


def test_a_pod_runs_on_each_node_and_its_log_can_be_read(cluster, run):
    for node in cluster_fixtures.NODES:
        run(f"hello-{node}", "echo", f"hello from {node}", node=node)

    for node in cluster_fixtures.NODES:
        assert f"hello from {node}\n" == ends(cluster, f"hello-{node}")


def test_commands_run_in_a_pod(cluster, run):
    run("sleeper", "sleep", "1000")
    cluster.wait("it to run", lambda: phase(cluster, "sleeper"), good="Running".__eq__)

    assert cluster.kubectl("exec", "sleeper", "--", "echo", "inside") == "inside\n"


def test_pods_reach_each_other_over_nodes_and_this_machine_reaches_them(cluster, run):
    run("server", "python3", "-m", "http.server", "8000", "--directory=/etc", node="node-1")
    address = cluster.pod_ip("server")
    url = f"http://{address}:8000/debian_version"
    ask = f"""
import time, urllib.request
for attempt in range(50):
    try:
        print(urllib.request.urlopen({url!r}, timeout=1).read().decode())
        break
    except OSError as error:
        time.sleep(0.1)
"""
    run("client", "python3", "-c", ask, node="node-2")

    assert ends(cluster, "client").startswith("12.")
    way = cluster.nodes["node-2"].exec(["ip", "route", "get", address]).stdout
    assert f"via {cluster.nodes['node-1'].ip}" in way  # not by way of this machine
    done = subprocess.run(
        ["curl", "--silent", "--max-time", "5", url], capture_output=True, check=False
    )
    assert (done.stdout[:3] == b"12.") == cluster.reaches_pods


def test_a_pod_reaches_the_api_server_with_its_service_account(cluster, run):
    run("asks", "python3", "-c", ASK_API)

    said = ends(cluster, "asks")

    assert said.startswith("403")
    assert "system:serviceaccount:default:default" in said


def test_a_pod_that_fits_nowhere_waits_and_the_scheduler_says_why(cluster, run):
    run("homeless", "true", nodeSelector={"nobody": "has-it"})

    def condition():
        found = cluster.get("pod", "homeless")["status"].get("conditions", ())
        return [each["message"] for each in found if each["type"] == "PodScheduled"]

    (message,) = cluster.wait("the scheduler's word", condition)
    assert "didn't match Pod's node affinity/selector" in message
    assert phase(cluster, "homeless") == "Pending"


def test_a_node_joins_and_leaves(cluster, run):
    cluster.add_node("node-4", "2.1", node_labels={"rcm.test/late": "yes"})
    try:
        cluster.import_image(program_images.python().archive, names=["node-4"])
        run("late", "echo", "here", nodeSelector={"rcm.test/late": "yes"})
        said = ends(cluster, "late")
    finally:
        cluster.remove_node("node-4")

    assert said == "here\n"
    assert len(cluster.get("nodes")["items"]) == 3


def test_a_node_is_ready_again_after_a_power_cut_and_its_pods_run_again(cluster, run):
    run("phoenix", "sleep", "1000", node="node-2", restartPolicy="Always")
    cluster.wait("it to run", lambda: phase(cluster, "phoenix"), good="Running".__eq__)

    cluster.power_cut("node-2")

    def restarts():
        return cluster.get("pod", "phoenix")["status"]["containerStatuses"][0]["restartCount"]

    cluster.wait("its container to be started again", restarts, good=lambda count: count == 1)
    cluster.wait("it to run", lambda: phase(cluster, "phoenix"), good="Running".__eq__)


@pytest.mark.parametrize(
    "words",
    [
        ("nodes",),
        ("node", "node-1"),
        ("no", "--selector=kubernetes.io/hostname=node-2"),
        ("sa", "--all-namespaces"),
        ("serviceaccounts", "default", "-n=kube-system"),
        ("events.events.k8s.io", "-A", "--field-selector=type=Warning"),
        ("crd",),
        ("clusterroles.rbac.authorization.k8s.io", "view"),
        ("node/node-1",),
        ("nodes", "node-1", "node-2"),
    ],
    ids=" ".join,
)
def test_what_is_asked_without_kubectl_is_what_kubectl_says(cluster, words):
    def both():
        said = json.loads(cluster.kubectl("get", *words, "--output=json"))
        return still(cluster.get(*words)), still(said)

    # Nodes report and events come between the two questions: then they are asked again.
    cluster.wait("the same answers", both, good=lambda pair: pair[0] == pair[1], timeout_s=10)


def still(answer):
    """Return an answer without what a cluster at rest changes all the time."""
    items = answer.get("items", [answer])
    for item in items:
        item["metadata"].pop("resourceVersion")
        for condition in item.get("status", {}).get("conditions", ()):
            condition.pop("lastHeartbeatTime", None)
    return items


def test_what_is_not_there_is_refused_as_kubectl_refuses_it(cluster):
    for ask in (cluster.get, lambda *words: cluster.kubectl("get", *words)):
        with pytest.raises(errors.CommandError, match=r'\(NotFound\): nodes "nobody" not found'):
            ask("node", "nobody")


def test_a_wait_that_ends_in_vain_says_what_it_saw(cluster):
    with pytest.raises(errors.NodeError, match=r"waited 0\.2 s for snow; seen last: rain"):
        cluster.wait("snow", lambda: "rain", good=lambda seen: seen == "snow", timeout_s=0.2)


def test_nodes_fetch_from_the_file_server_which_counts_and_fails(cluster):
    def fetch(url: str) -> str:
        argv = ["curl", "--silent", "--write-out", " %{http_code} %{size_download}", url]
        return cluster.nodes["node-1"].exec(argv, check=False).stdout

    with fileserver.start(cluster.gateway) as server:
        file = server.add(b"shim", name="shim.tar.gz")
        server.fail(file, status=503)
        said = [fetch(file.url), fetch(file.url)]
        server.cut(file, after_bytes=2)
        said += [fetch(file.url), fetch(f"{server.url}/nothing")]

        assert said == [" 503 0", "shim 200 4", "sh 200 2", " 404 0"]
        assert server.count(file) == 3


STARTS = """
import pathlib, sys
from tests.testbed import clusters
options = clusters.Options(keep=sys.argv[2:] == ["keep"])
with clusters.start(pathlib.Path(sys.argv[1]), nodes={"one": "1.7"}, options=options) as cluster:
    print(cluster.network.name, flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_start_that_was_cut_short(tmp_path, docker_client, number):
    starting = subprocess.Popen([sys.executable, "-c", STARTS, str(tmp_path)], stderr=-1)
    mark = f"rcm.test/owner={labels.identity(starting.pid)}"

    def made():
        containers = docker_client.containers.list(filters={"label": mark}, ignore_removed=True)
        return containers and len(kept.processes(tmp_path)) == 2

    waiting.until("a node, etcd and an API server", made)
    starting.send_signal(number)
    starting.communicate()
    if number == signal.SIGKILL:  # nobody can clean up after that; the next run does
        labels.remove_leftovers(docker_client)

    def left():
        return [
            *docker_client.containers.list(all=True, filters={"label": mark}, ignore_removed=True),
            *docker_client.networks.list(filters={"label": mark}),
            *kept.processes(tmp_path),
        ]

    # Another test process may be removing the same leftovers just now.
    waiting.until("nothing to be left", left, good=lambda found: not found, timeout_s=10)


def test_a_kept_cluster_outlives_its_process_until_it_is_stopped(tmp_path, docker_client):
    if kept.directory() is not None:
        pytest.skip("this machine keeps a cluster, which this test would stop")
    argv = [sys.executable, "-c", STARTS, str(tmp_path), "keep"]
    name = subprocess.run(argv, stdout=-1, text=True, check=True).stdout.strip()
    try:
        labels.remove_leftovers(docker_client)
        config = tmp_path / "attempt-1" / "admin.kubeconfig"
        said = kubectl(config, "get", "nodes", "--output=name")
    finally:
        clusters.stop_kept()

    assert said == "node/one\n"
    assert docker_client.networks.list(names=[name]) == []
    assert docker_client.containers.list(all=True, filters={"name": f"{name}-one"}) == []
    assert kept.processes(tmp_path) == []


def kubectl(config: pathlib.Path, *words: str) -> str:
    argv = [kube.programs() / "kubectl", f"--kubeconfig={config}", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def docker_client() -> collections.abc.Iterator[docker.DockerClient]:
    with contextlib.closing(docker.from_env()) as client:
        yield client
