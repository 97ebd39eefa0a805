"""What agents installed works without them, and they work without the API server."""

import pytest

from tests.e2e import objects, support
from tests.testbed import nodes
from tests.workloads import modules

pytestmark = [
    pytest.mark.node,
    pytest.mark.real,
    pytest.mark.timeout(300),
]

STAY = "rcm.test/away-stay:1"
HEALTH = "import urllib.request as r; r.urlopen('http://127.0.0.1:8081/healthz', timeout=5)"


@pytest.fixture
def busy(product: support.Product) -> support.Product:
    """Give a product whose nodes run Wasm pods and others."""
    product.import_guest(STAY, modules.say_and_stay("here\n"))
    product.apply(product.shim("wasmtime"))
    product.wait_ready("wasmtime")
    names = sorted(product.cluster.nodes)
    product.apply(
        *(objects.pod(f"wasm-{n}", STAY, runtime_class="wasmtime", node=n) for n in names),
        *(objects.plain_pod(f"plain-{n}", node=n) for n in names),
    )
    for name in names:
        product.wait_pod(f"wasm-{name}")
        product.wait_pod(f"plain-{name}")
    return product


def test_an_update_of_the_agents_touches_nothing(busy: support.Product) -> None:
    before, pods = busy.look(), busy.all_containers()

    busy.cluster.kubectl("rollout", "restart", "daemonset/rcm-agent", f"-n={support.AGENTS}")
    busy.wait_running()
    after = busy.look()

    for name in busy.cluster.nodes:
        assert after[name].containerd == before[name].containerd
        assert after[name].written_since(before[name]) == []
    assert busy.all_containers() == pods
    assert busy.labelled("wasmtime") == set(busy.cluster.nodes)


def test_agents_go_on_without_an_api_server(busy: support.Product) -> None:
    before, pods = busy.look(), busy.all_containers()
    agents = {name: agent_process(busy.cluster.nodes[name]) for name in busy.cluster.nodes}
    api_server = busy.cluster.plane.api_server
    node = busy.cluster.nodes["node-3"]

    api_server.kill()
    try:
        node.exec(["kill", "-9", agents["node-3"]])
        busy.cluster.wait(
            "the killed agent to be back",
            lambda: agent_process(node),
            good=lambda seen: seen not in {"", agents["node-3"]},
        )
        busy.cluster.wait("it to look at its node", lambda: is_healthy(node))
        during = busy.look()
    finally:
        api_server.start()
        busy.cluster.plane.wait_ready()

    for name in busy.cluster.nodes:
        assert during[name].containerd == before[name].containerd
        assert during[name].written_since(before[name]) == []
    assert busy.all_containers() == pods
    for name in ("node-1", "node-2"):
        assert agent_process(busy.cluster.nodes[name]) == agents[name]
    busy.apply(busy.shim("wasmtime", "v0.2.0"))
    busy.wait_ready("wasmtime")
    assert busy.all_containers() == pods


def agent_process(node: nodes.Node) -> str:
    """Return the PID of a node's agent, empty if none runs."""
    return node.exec(
        ["pgrep", "--full", "--oldest", "^python3 .*rcm-agent run"], check=False
    ).stdout.strip()


def is_healthy(node: nodes.Node) -> bool:
    """Tell whether a node's agent answers on its port, which it does once it works."""
    entered = ["nsenter", f"--target={agent_process(node)}", "--net", "python3", "-c", HEALTH]
    return node.exec(entered, check=False).exit_code == 0
