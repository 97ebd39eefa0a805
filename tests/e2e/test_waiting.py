"""A restart that would end Wasm pods waits for them, and says for whom; or it stops them cleanly."""

import pytest

from tests.e2e import objects, support, view
from tests.workloads import modules

pytestmark = [
    pytest.mark.node,
    pytest.mark.real,
    pytest.mark.timeout(300),
]

STAY = "rcm.test/waiting-stay:1"
# Of the runwasi shims that there are today, none answers Pids: a restart of containerd ends their
# containers.
UNPATCHED = "v0.1.0-nopids"


def test_a_node_with_pods_that_a_restart_would_end_waits_for_them(
    product: support.Product,
) -> None:
    product.import_guest(STAY, modules.say_and_stay("here\n"))
    product.apply(product.shim("first", UNPATCHED))
    product.wait_ready("first")
    product.apply(objects.pod("guest", STAY, runtime_class="first", node="node-1"))
    product.wait_pod("guest")
    before = product.look("node-1")["node-1"]

    product.apply(product.shim("second"))
    said = product.wait_phase("node-1", "second", "Waiting")
    product.wait("the others", lambda: product.labelled("second") == {"node-2", "node-3"})
    progress = product.wait(
        "the Shim to say so",
        lambda: product.condition("second", "Progressing"),
        good=lambda seen: seen["reason"] == "WaitingForPods",
    )

    assert said["reason"] == "WaitingForIdle"
    assert "default/guest" in said["message"]
    assert "node-1" in progress["message"]
    events = product.wait(
        "an event",
        lambda: product.events("Shim", "second"),
        good=lambda seen: any(each.startswith("WaitingForPods") for each in seen),
    )
    assert any("node-1" in each for each in events if each.startswith("WaitingForPods"))
    agent = product.metrics(product.agent_pod("node-1"), 8081)
    assert agent["rcm_agent_waiting_for_idle"] == 1
    leader = product.leader_metrics()
    assert leader['rcm_shim_nodes{phase="waiting",shim="second"}'] == 1
    assert product.look("node-1")["node-1"].containerd == before.containerd
    assert product.restarts("guest") == 0

    product.delete("pod", "guest", "--grace-period=1")
    product.wait_ready("second")
    assert product.look("node-1")["node-1"].starts == before.starts + 1
    assert product.metrics(product.agent_pod("node-1"), 8081)["rcm_agent_waiting_for_idle"] == 0


@pytest.mark.parametrize("node", ["node-1", "node-3"])
def test_pods_that_may_be_disturbed_are_stopped_and_come_back(
    product: support.Product, node: str
) -> None:
    where = {"kubernetes.io/hostname": node}
    product.import_guest(STAY, modules.say_and_stay("here\n"))
    product.apply(product.shim("first", UNPATCHED, node_selector=where))
    product.wait_ready("first", node)
    product.apply(
        objects.deployment("web", STAY, replicas=2, runtime_class="first"),
        objects.plain_pod("bystander", node=node),
    )
    product.wait_available("web", 2)
    product.wait_pod("bystander")
    bystander = product.containers("bystander")
    before = product.look(node)[node]

    product.apply(product.shim("second", node_selector=where, disruption="Allow"))
    product.wait_ready("second", node)
    product.wait_available("web", 2)

    host = product.cluster.nodes[node]
    sandboxes = product.wait(
        "two sandboxes", lambda: view.shim_sandboxes(host), good=lambda seen: len(seen) == 2
    )
    after = product.wait(
        "as many processes as before",
        lambda: product.look(node)[node],
        good=lambda seen: len(seen.processes) == len(before.processes),
    )

    assert after.starts == before.starts + 1
    assert not before.processes.keys() & after.processes.keys()
    assert sandboxes <= view.running_tasks(host)
    assert product.containers("bystander") == bystander
