"""A release that does not work stops at its first node, which goes back; the Shim says what to do."""

import time

import pytest

from tests.e2e import objects, support
from tests.workloads import modules

pytestmark = [
    pytest.mark.node,
    pytest.mark.real,
    pytest.mark.timeout(300),
]

STAY = "rcm.test/broken-stay:1"
# What a Shim has that says nothing about its rollout, but for the soak.
USUAL = {"maxUpdate": "10%", "canary": {"nodes": 1, "soakSeconds": 1}}
ROLLBACK_S = 60.0


def failed_nodes(product: support.Product, shim: str) -> list[str]:
    return [
        name
        for name in sorted(product.cluster.nodes)
        if product.entry(name, shim).get("phase") in {"RolledBack", "Failed"}
    ]


def test_a_broken_release_goes_no_further_than_its_canary(product: support.Product) -> None:
    product.import_guest(STAY, modules.say_and_stay("here\n"))
    product.apply(product.shim("wasmtime"))
    product.wait_ready("wasmtime")
    product.apply(
        *(
            objects.pod(f"on-{name}", STAY, runtime_class="wasmtime", node=name)
            for name in sorted(product.cluster.nodes)
        )
    )
    for name in product.cluster.nodes:
        product.wait_pod(f"on-{name}")
    before = product.look()
    pods = product.all_containers()

    began = time.monotonic()
    product.apply(product.shim("wasmtime", "start-fails", rolling=USUAL))
    (canary,) = product.wait("a failure", lambda: failed_nodes(product, "wasmtime"))
    took_s = time.monotonic() - began
    degraded = product.wait(
        "the rollout to stop",
        lambda: product.condition("wasmtime", "Degraded"),
        good=lambda seen: seen["reason"] == "RolloutStopped",
    )
    described = product.cluster.kubectl("describe", "shim", "wasmtime")
    entry = product.entry(canary, "wasmtime")
    after = product.look()

    assert took_s <= ROLLBACK_S
    assert entry["phase"] == "RolledBack"
    assert degraded["status"] == "True"
    # Which node, containerd's own words, and what to do.
    assert f"{canary}: " in described
    assert "this shim always fails" in described
    assert "Change the Shim to go on." in described
    assert f"ShimRolledBack: Shim wasmtime: {entry['message']}" in product.events("Node", canary)
    for name in product.cluster.nodes:
        assert after[name].config == before[name].config
        assert after[name].containerd == before[name].containerd
        link = "/opt/rcm/bin/containerd-shim-wasmtime-v1"
        assert after[name].files[link][-1] == before[name].files[link][-1]
    assert product.labelled("wasmtime") == set(product.cluster.nodes)
    assert product.all_containers() == pods

    product.apply(product.shim("wasmtime", "v0.2.0", rolling=USUAL))
    product.wait_ready("wasmtime")
    assert product.condition("wasmtime", "Degraded")["status"] == "False"
    assert product.all_containers() == pods


def test_a_first_install_that_fails_leaves_its_node_as_it_was(product: support.Product) -> None:
    before = product.look()

    product.apply(product.shim("wasmtime", "start-fails", rolling=USUAL))
    (canary,) = product.wait("a failure", lambda: failed_nodes(product, "wasmtime"))
    product.wait(
        "the rollout to stop",
        lambda: product.condition("wasmtime", "Stalled"),
        good=lambda seen: seen["status"] == "True",
    )
    after = product.look()

    assert product.labelled("wasmtime") == set()
    assert after[canary].starts - before[canary].starts <= 2
    for name in product.cluster.nodes:
        assert after[name].config == before[name].config
        assert not any(path.startswith("/opt/rcm/bin/c") for path in after[name].files)
    others = set(product.cluster.nodes) - {canary}
    assert all(after[name].containerd == before[name].containerd for name in others)
