"""What agents installed works without them, and they work without the API server."""

import pytest

from tests.e2e import objects, support
from tests.workloads import modules

pytestmark = [
    pytest.mark.node,
    pytest.mark.real,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("e2e"),
]

STAY = "rcm.test/away-stay:1"
LINK = "/opt/rcm/bin/containerd-shim-wasmtime-v1"
# An agent looks at its node every 30 s.
DRIFT_S = 60.0


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
    agents = busy.all_containers(support.AGENTS)
    api_server = busy.cluster.plane.api_server
    node = busy.cluster.nodes["node-3"]

    api_server.kill()
    try:
        node.exec(["rm", LINK])
        busy.cluster.wait("the link to be back", lambda: node.exists(LINK), timeout_s=DRIFT_S)
        during = busy.look()
    finally:
        api_server.start()
        busy.cluster.plane.wait_ready()

    for name in busy.cluster.nodes:
        assert during[name].containerd == before[name].containerd
    repairs = busy.wait(
        "the agent to tell of it",
        lambda: busy.cluster.get("noderuntime", "node-3")["status"].get("driftRepairs", 0),
    )
    assert repairs >= 1
    assert busy.all_containers() == pods
    assert busy.all_containers(support.AGENTS) == agents
    # The same agents still listen.
    busy.apply(busy.shim("wasmtime", "v0.2.0"))
    busy.wait_ready("wasmtime")
