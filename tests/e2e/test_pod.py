"""What the running agent may do on its node, as its kernel says, and that it keeps secrets."""

import json
import pathlib
import secrets

import pytest

from tests.e2e import objects, processes, support, view
from tests.testbed import fileserver, shims

pytestmark = [
    pytest.mark.node,
    pytest.mark.real,
    pytest.mark.timeout(300),
]

HOST_PATHS = {
    "/etc/containerd",
    "/opt/rcm",
    "/run/rcm",
    "/run/containerd",
    "/run/systemd/private",
}
READ_ONLY = {"/run/containerd", "/run/systemd/private"}
# What every pod has, whoever wrote it.
KUBELETS = {
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/dev/termination-log",
    "/run/secrets/kubernetes.io/serviceaccount",
}
RUNTIMES = ("/proc", "/dev", "/sys")
OWN = ("pid", "ipc", "net", "mnt", "uts")
NOTHING = "0000000000000000"
# It is a test's time that counts here.
AT_ONCE = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}}


def status(product: support.Product, node: str, process: str) -> dict[str, str]:
    """Return /proc/PID/status."""
    text = product.cluster.nodes[node].read(f"/proc/{process}/status").decode()
    return {
        key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())
    }


def capabilities(kernel: dict[str, str]) -> list[str]:
    """Return inheritable, permitted, effective, bounding and ambient ones."""
    return [value for key, value in kernel.items() if key.startswith("Cap")]


def mounts(product: support.Product, node: str, process: str) -> dict[str, set[str]]:
    """Return each mount of a process with its options; the last of several counts."""
    text = product.cluster.nodes[node].read(f"/proc/{process}/mountinfo").decode()
    return {fields[4]: set(fields[5].split(",")) for fields in map(str.split, text.splitlines())}


def below(path: str, *places: str) -> bool:
    return any(pathlib.PurePath(path).is_relative_to(place) for place in places)


def namespaces(product: support.Product, node: str, process: str) -> dict[str, str]:
    script = f"for n in {' '.join(OWN)}; do echo $n $(readlink /proc/{process}/ns/$n); done"
    lines = product.host(node).sh(script).stdout.splitlines()
    return dict(line.split() for line in lines)


@pytest.mark.parametrize("node", ["node-1", "node-2", "node-3"])
def test_the_running_agent_has_no_rights_but_its_five_paths(
    product: support.Product, node: str
) -> None:
    pod = product.agent_pod(node)
    process = processes.pid(product.node_of(pod), pod)
    kernel, seen = status(product, node, process), mounts(product, node, process)

    assert capabilities(kernel) == [NOTHING] * 5
    assert kernel["Seccomp"] == "2"
    assert kernel["NoNewPrivs"] == "1"
    assert kernel["NSpid"].split()[-1] == "1"
    ours, hosts = namespaces(product, node, process), namespaces(product, node, "1")
    assert not {name for name in OWN if ours[name] == hosts[name]}
    assert "ro" in seen["/"]
    given = {path for path in seen if path != "/" and not below(path, *KUBELETS, *RUNTIMES)}
    assert {path for path in given if not below(path, *(HOST_PATHS - {path}))} == HOST_PATHS
    assert {path for path in HOST_PATHS if "ro" in seen[path]} == READ_ONLY
    volumes = pod["spec"]["volumes"]
    assert {each["hostPath"]["path"] for each in volumes if "hostPath" in each} == HOST_PATHS


def test_the_running_controller_is_nobody(product: support.Product) -> None:
    for pod in product.controller_pods():
        node = pod["spec"]["nodeName"]
        process = processes.pid(product.node_of(pod), pod)
        kernel, seen = status(product, node, process), mounts(product, node, process)

        assert set(kernel["Uid"].split()) == {"65532"}
        assert capabilities(kernel) == [NOTHING] * 5
        assert (kernel["Seccomp"], kernel["NoNewPrivs"]) == ("2", "1")
        assert "ro" in seen["/"]
        assert not [path for path in seen if path != "/" and not below(path, *KUBELETS, *RUNTIMES)]


def test_agents_and_controller_tell_their_metrics(product: support.Product) -> None:
    product.apply(product.shim("wasmtime"))
    product.wait_ready("wasmtime")

    for node in product.cluster.nodes:
        told = product.metrics(product.agent_pod(node), 8081)
        assert told["rcm_agent_containerd_restarts_total"] >= 1
        assert any(
            name.startswith("rcm_agent_shim_info{") and 'shim="wasmtime"' in name for name in told
        )
    leader = product.leader_metrics()
    assert leader['rcm_shim_nodes{phase="ready",shim="wasmtime"}'] == len(product.cluster.nodes)


# --- secrets -----------------------------------------------------------------------------------

MIRROR = {
    # A login in the place where people put it first; such an address is refused.
    "MIRROR_USER": "http://robot:{secret}@{host}/",
    # A login that works, for a mirror that is down.
    "MIRROR_TOKEN": "http://{host}/down?token={secret}&path=",
    # Where a company has one; ours is for nobody, since the API server is not beyond it.
    "HTTPS_PROXY": "http://robot:{secret}@{host}",
    "NO_PROXY": "10.96.0.1",
}


@pytest.fixture
def canary(product: support.Product) -> str:
    """Give agents logins as a person would, from a Secret, until the test is over."""
    secret = f"canary-{secrets.token_hex(16)}"
    values = {key: text.format(secret=secret, host=host(product)) for key, text in MIRROR.items()}
    document = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "mirror", "namespace": support.AGENTS},
        "stringData": values,
    }
    product.cluster.kubectl("create", "-f", "-", stdin=json.dumps(document))
    before = daemon_set(product)
    try:
        change(product, with_mirrors(before, product))
        yield secret
    finally:
        change(product, {**before, "updateStrategy": AT_ONCE})
        change(product, before)
        product.cluster.kubectl("delete", "secret", "mirror", f"-n={support.AGENTS}")


def host(product: support.Product) -> str:
    return product.web.url.removeprefix("http://")


def daemon_set(product: support.Product) -> support.Document:
    return product.cluster.get("daemonset", "rcm-agent", f"-n={support.AGENTS}")["spec"]


def with_mirrors(spec: support.Document, product: support.Product) -> support.Document:
    """Return the agents' DaemonSet with a mirror for each of two releases."""
    changed = json.loads(json.dumps(spec))
    container = changed["template"]["spec"]["containers"][0]
    container["env"] += [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": "mirror", "key": key}}}
        for key in MIRROR
    ]
    container["args"] += [
        f"--mirror={product.release('v0.1.0').url}=$(MIRROR_USER)",
        f"--mirror={product.release('v0.2.0').url}=$(MIRROR_TOKEN)",
    ]
    return {**changed, "updateStrategy": AT_ONCE}


def change(product: support.Product, spec: support.Document) -> None:
    patch = json.dumps([{"op": "replace", "path": "/spec", "value": spec}])
    where = ("daemonset", "rcm-agent", f"-n={support.AGENTS}")
    product.cluster.kubectl("patch", *where, "--type=json", f"--patch={patch}")
    product.wait_running()


def said(product: support.Product) -> dict[str, str]:
    """Return everything that anybody may read: objects but Secrets, logs, metrics, our files."""
    kubectl = product.cluster.kubectl
    kinds = kubectl("api-resources", "--verbs=list", "--output=name").split()
    readable = [kind for kind in kinds if kind != "secrets"]
    found = {
        "objects": kubectl("get", ",".join(readable), "-A", "-o", "json", "--ignore-not-found")
    }
    pods = [*product.controller_pods(), *map(product.agent_pod, sorted(product.cluster.nodes))]
    for pod in pods:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        port = pod["spec"]["containers"][0]["ports"][0]["containerPort"]
        found[f"log of {name}"] = kubectl("logs", name, f"-n={namespace}")
        found[f"metrics of {name}"] = json.dumps(product.metrics(pod, port))
    for name, node in product.cluster.nodes.items():
        files = "grep -rs . /opt/rcm/journal.json /opt/rcm/backup /run/rcm /etc/containerd || true"
        found[f"files of {name}"] = node.exec(["sh", "-c", files]).stdout
    return found


def test_a_login_for_a_mirror_is_told_to_nobody(product: support.Product, canary: str) -> None:
    here = {"kubernetes.io/hostname": "node-3"}

    product.apply(
        product.shim("refused", "v0.1.0", node_selector=here),
        product.shim("fetched", "v0.2.0", node_selector=here),
    )
    refused = product.wait_phase("node-3", "refused", "Failed")
    product.wait_ready("fetched", "node-3")

    assert "user name or a password" in refused["message"]
    down = MIRROR["MIRROR_TOKEN"].format(secret=canary, host=host(product))
    assert product.web.count(fileserver.File(down, sha256="", size=0)) > 0
    told = said(product)
    assert "containerd" in told["files of node-3"]
    assert [where for where, text in told.items() if canary in text] == []


def test_the_signature_of_an_address_is_told_by_nobody_but_who_wrote_it(
    product: support.Product,
) -> None:
    signature = f"signature-{secrets.token_hex(16)}"
    file = product.release("v0.1.0")
    served = product.web.add(shims.archive("v0.1.0"), name=f"shim.tar.gz?X-Signature={signature}")
    product.web.fail(served, times=2)
    here = {"kubernetes.io/hostname": "node-2"}

    product.apply(
        objects.shim("signed", location=served.url, sha256=file.sha256, node_selector=here)
    )
    product.wait_ready("signed", "node-2")

    told = said(product)
    items = json.loads(told.pop("objects"))["items"]
    written = {kind.partition(".")[0] for kind in (view.SHIM, view.RUNTIME)}
    for item in items:
        if f"{item['kind'].lower()}s" in written:
            # Who may read this may read it all: the address, and where it was remembered.
            item.pop("spec")
            item["metadata"].pop("annotations", None)
            item["status"].pop("artifacts", None)
    assert product.web.count(served) == 3
    assert signature not in json.dumps(items)
    assert [where for where, text in told.items() if signature in text] == []
