"""A Shim reaches the nodes that it selects, and Wasm pods wait for proven ones, not on broken ones."""

import pytest

from tests.e2e import objects, support
from tests.workloads import modules

pytestmark = [
    pytest.mark.node,
    pytest.mark.real,
    pytest.mark.timeout(300),
]

SELECTOR = {"rcm.test/wasm": "yes"}
HELLO = "rcm.test/install-hello:1"


def label(product: support.Product, *nodes: str, value: str = "=yes") -> None:
    product.cluster.kubectl("label", "nodes", *nodes, "--overwrite", f"rcm.test/wasm{value}")


def scheduler_says(product: support.Product, pod: str) -> str:
    """Wait for the reason why a Pod has no node."""
    found = product.wait(
        f"the scheduler's word on {pod}",
        lambda: product.cluster.get("pod", pod)["status"],
        good=lambda seen: seen.get("conditions"),
    )
    assert found["phase"] == "Pending"
    return str(found["conditions"][0]["message"])


def test_a_shim_reaches_the_selected_nodes_and_pods_wait_for_them(product: support.Product) -> None:
    product.import_guest(HELLO, modules.say_and_stay("Hello from WebAssembly!\n"))
    before = product.look()
    product.apply(product.shim("wasmtime", node_selector=SELECTOR))
    product.wait("the RuntimeClass", lambda: product.exists("runtimeclass", "wasmtime"))
    product.apply(objects.pod("hello", HELLO, runtime_class="wasmtime"))

    said = scheduler_says(product, "hello")
    label(product, "node-1", "node-3")
    try:
        product.wait_ready("wasmtime", "node-1", "node-3")
        where = product.wait_pod("hello")["spec"]["nodeName"]
        after = product.look()

        assert "3 node(s) didn't match Pod's node affinity/selector" in said
        assert where in {"node-1", "node-3"}
        assert product.cluster.kubectl("logs", "hello") == "Hello from WebAssembly!\n"
        assert after["node-2"].untouched_since(before["node-2"])
        assert [after[name].starts - before[name].starts for name in sorted(after)] == [1, 0, 1]
        assert product.status("wasmtime")["nodesReady"] == 2
    finally:
        label(product, "--all", value="-")


def test_a_node_that_joins_gets_the_shim_without_anybodys_help(product: support.Product) -> None:
    product.apply(product.shim("wasmtime", node_selector=SELECTOR))
    try:
        node = product.cluster.add_node("node-4", "2.3", node_labels=SELECTOR)
        product.import_agent("node-4")
        node.import_image(objects.wasm_image(HELLO, modules.say_and_stay("I am new here\n")))
        product.wait_ready("wasmtime", "node-4")

        product.apply(objects.pod("newcomer", HELLO, runtime_class="wasmtime"))
        assert product.wait_pod("newcomer")["spec"]["nodeName"] == "node-4"
        assert product.cluster.kubectl("logs", "newcomer") == "I am new here\n"
    finally:
        # Pods of a node that is gone stay for a minute otherwise.
        product.delete("pod", "newcomer", "--force", "--grace-period=0")
        product.forget_node("node-4")
    product.wait_gone("noderuntimes.runtime.spinkube.dev", "node-4")
