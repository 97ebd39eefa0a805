"""Deleting a Shim waits for the pods that use it, and then leaves every node as it was."""

import pytest

from tests.e2e import objects, support, view
from tests.workloads import modules

pytestmark = [
    pytest.mark.node,
    pytest.mark.real,
    pytest.mark.timeout(300),
]

STAY = "rcm.test/removal-stay:1"


def test_a_deleted_shim_drains_and_leaves_every_node_as_it_was(product: support.Product) -> None:
    product.import_guest(STAY, modules.say_and_stay("here\n"))
    product.apply(product.shim("wasmtime"))
    product.wait_ready("wasmtime")
    product.apply(
        objects.pod("one", STAY, runtime_class="wasmtime", node="node-1"),
        objects.pod("two", STAY, runtime_class="wasmtime", node="node-1"),
        objects.pod("three", STAY, runtime_class="wasmtime", node="node-3"),
    )
    for name in ("one", "two", "three"):
        product.wait_pod(name)
    pods = product.all_containers()

    product.delete("shim", "wasmtime")
    used = [product.wait_draining(node, "wasmtime") for node in ("node-1", "node-3")]
    product.wait("the unused node to be clean", lambda: not product.entry("node-2", "wasmtime"))
    progress = product.wait(
        "the Shim to say what it waits for",
        lambda: product.condition("wasmtime", "Progressing"),
        good=lambda seen: seen["reason"] == "DeletionBlocked",
    )

    assert used == [2, 1]
    assert product.status("wasmtime")["nodesDraining"] == 2
    assert "Pods still use the shim on node-1, node-3" in progress["message"]
    assert product.labelled("wasmtime") == set()
    assert product.all_containers() == pods

    product.delete("pods", "one", "two", "three", "--grace-period=1")
    product.wait_gone(view.SHIM, "wasmtime")
    after = product.look()

    assert {name: look.config for name, look in after.items()} == {
        name: look.config for name, look in product.first.items()
    }
    for name, look in after.items():
        assert not [
            path
            for path in look.files
            if path.startswith(("/opt/rcm/bin/", "/opt/rcm/store/sha256/"))
        ]
        assert look.processes == {}
        assert product.entry(name, "wasmtime") == {}
    assert not product.exists("runtimeclass", "wasmtime")
