"""What a stolen token of ours can do on a real API server: next to nothing (faults.md S1 to S3)."""

import collections.abc

import pytest

from tests.cluster import tokens
from tests.testbed import controlplane, controlplane_fixtures

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]
NAMESPACES = ("rcm-system", "rcm-agents", "default", "kube-system")
LABEL = "rcm.node-restriction.kubernetes.io/spin-v2"
# What Kubernetes lets every account ask, about itself.
ANYBODY = {
    "create selfsubjectaccessreviews.authorization.k8s.io",
    "create selfsubjectrulesreviews.authorization.k8s.io",
    "create selfsubjectreviews.authentication.k8s.io",
}
AGENT = {
    "get noderuntimes.runtime.spinkube.dev",
    "list noderuntimes.runtime.spinkube.dev",
    "watch noderuntimes.runtime.spinkube.dev",
    "patch noderuntimes/status.runtime.spinkube.dev",
}
CONTROLLER = {
    "list shims.runtime.spinkube.dev",
    "watch shims.runtime.spinkube.dev",
    "patch shims.runtime.spinkube.dev",
    "patch shims/status.runtime.spinkube.dev",
    "list noderuntimes.runtime.spinkube.dev",
    "watch noderuntimes.runtime.spinkube.dev",
    "create noderuntimes.runtime.spinkube.dev",
    "patch noderuntimes.runtime.spinkube.dev",
    "delete noderuntimes.runtime.spinkube.dev",
    "list nodes",
    "watch nodes",
    "patch nodes",
    "get runtimeclasses.node.k8s.io",
    "list runtimeclasses.node.k8s.io",
    "watch runtimeclasses.node.k8s.io",
    "create runtimeclasses.node.k8s.io",
    "update runtimeclasses.node.k8s.io",
    "delete runtimeclasses.node.k8s.io",
    "create leases.coordination.k8s.io in rcm-system",
    "get events in default",
    "create events in default",
    "patch events in default",
}


@pytest.fixture(scope="module")
def bench(
    shared_control_plane: controlplane.ControlPlane,
) -> collections.abc.Iterator[tokens.Bench]:
    found = tokens.Bench(shared_control_plane)
    yield found
    found.remove()
    controlplane_fixtures.wipe(shared_control_plane)


@pytest.fixture(autouse=True)
def counted(request: pytest.FixtureRequest) -> None:
    controlplane_fixtures._count(request)


def status(name: str) -> str:
    return f"{tokens.RUNTIMES}/{name}/status"


def told(phase: str = "Ready") -> dict[str, object]:
    return {"status": {"shims": [{"name": "spin-v2", "phase": phase}]}}


def whole(name: str, **parts: object) -> dict[str, object]:
    return {
        "apiVersion": "runtime.spinkube.dev/v1alpha1",
        "kind": "NodeRuntime",
        "metadata": {"name": name},
        **parts,
    }


def test_an_agent_may_do_what_is_listed_here_and_nothing_else(bench: tokens.Bench):
    assert bench.agent.allowed(NAMESPACES) == ANYBODY | AGENT


def test_the_controller_may_do_what_is_listed_here_and_nothing_else(bench: tokens.Bench):
    assert bench.controller.allowed(NAMESPACES) == ANYBODY | CONTROLLER


def test_an_agent_writes_the_status_of_its_own_node(bench: tokens.Bench):
    assert bench.agent.patch(status("worker-0"), told()).status == 200
    assert bench.agent.apply(status("worker-0"), whole("worker-0", **told())).status == 200


def test_an_agent_writes_no_status_of_another_node(bench: tokens.Bench):
    says = "the agent of node worker-0 may not write the NodeRuntime of worker-1"
    other = status("worker-1")

    for answer in (
        bench.agent.patch(other, told()),
        bench.agent.patch(f"{other}?dryRun=All", told()),
        bench.agent.apply(other, whole("worker-1", **told())),
        bench.agent.apply(other, whole("worker-1", **told()), query="&dryRun=All"),
    ):
        assert answer.status == 403
        assert says in answer.message


def test_a_token_without_a_node_writes_nothing(bench: tokens.Bench):
    for name in tokens.NODE_NAMES:
        answer = bench.unbound_agent.patch(status(name), told())

        assert answer.status == 403
        assert "this token names no node" in answer.message


def test_a_status_carries_no_spec_and_no_metadata_along(bench: tokens.Bench):
    before = bench.agent.ask("GET", f"{tokens.RUNTIMES}/worker-0").body
    smuggled = {
        **told("Fetched"),
        "spec": {"nodeUid": "e8f7a1de-2f2c-4a39-8c53-7f1a3ff9f6a3"},
        "metadata": {
            "labels": {"a": "b"},
            "annotations": {"a": "b"},
            "finalizers": ["example.com/stay"],
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": "worker-1", "uid": "u"}
            ],
        },
    }

    assert bench.agent.patch(status("worker-0"), smuggled).status in (200, 422)
    after = bench.agent.ask("GET", f"{tokens.RUNTIMES}/worker-0").body
    assert after["spec"] == before["spec"]
    for name in ("labels", "annotations", "finalizers", "ownerReferences"):
        assert after["metadata"].get(name) == before["metadata"].get(name), name


def attempts_of_an_agent(agent: tokens.Holder) -> list[tokens.Answer]:
    one = f"{tokens.RUNTIMES}/worker-0"
    return [
        agent.patch(one, {"spec": {"shims": []}}),
        agent.patch(one, {"metadata": {"labels": {"a": "b"}}}),
        agent.apply(one, whole("worker-0", spec={"nodeUid": "u"})),
        agent.apply(f"{tokens.RUNTIMES}/worker-9", whole("worker-9", spec={"nodeUid": "u"})),
        agent.ask("POST", tokens.RUNTIMES, whole("worker-9", spec={"nodeUid": "u"})),
        agent.ask("DELETE", one),
        agent.ask("DELETE", f"{one}?dryRun=All"),
        agent.ask("DELETE", tokens.RUNTIMES),
        agent.patch(status("worker-1"), told()),
    ]


def test_an_agent_writes_nothing_but_a_status(bench: tokens.Bench):
    assert [a.status for a in attempts_of_an_agent(bench.agent)] == [403] * 9


def test_the_policy_holds_an_agent_whatever_its_role_says(
    bench: tokens.Bench, shared_control_plane: controlplane.ControlPlane
):
    kubectl = shared_control_plane.kubectl
    everything = '[{"op": "add", "path": "/rules/-", "value": {"apiGroups": ["*"], %s}}]'
    rule = '"resources": ["noderuntimes", "noderuntimes/status"], "verbs": ["*"]'
    kubectl("patch", "clusterrole", "rcm-agent", "--type=json", "-p", everything % rule)
    try:
        own = f"{status('worker-0')}?dryRun=All"
        now = bench.agent.ask("GET", f"{tokens.RUNTIMES}/worker-0").body
        bench.until(lambda: bench.agent.ask("PUT", own, now).status == 200)

        answers = attempts_of_an_agent(bench.agent)

        assert [a.status for a in answers] == [403] * 9
        assert all("rcm-agent-own-node" in a.message for a in answers), answers
    finally:
        bench.reapply()


READY = {"metadata": {"labels": {LABEL: "ready"}}}
TAINT = {"spec": {"taints": [{"key": "a", "effect": "NoExecute"}]}}
FOREIGN = [
    pytest.param({"metadata": {"labels": {"example.com/x": "y"}}}, id="label"),
    pytest.param({"metadata": {"labels": {"team": None, LABEL: "ready"}}}, id="label removed"),
    pytest.param({"metadata": {"labels": {"team": "b"}}}, id="label changed"),
    pytest.param(
        {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}, id="role"
    ),
    pytest.param(
        {"metadata": {"labels": {"evil.rcm.node-restriction.kubernetes.io/x": "y"}}},
        id="a longer prefix",
    ),
    pytest.param({"metadata": {"annotations": {"a": "b"}}}, id="annotation"),
    pytest.param({"metadata": {"finalizers": ["example.com/stay"]}}, id="finalizer"),
    pytest.param(
        {
            "metadata": {
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Namespace", "name": "gone", "uid": "u"}
                ]
            }
        },
        id="owner",
    ),
    pytest.param(TAINT, id="taint"),
    pytest.param({"spec": {"unschedulable": True}}, id="cordon"),
    pytest.param({"spec": {"podCIDR": "10.1.0.0/24"}}, id="pod CIDR"),
    pytest.param({**READY, **TAINT}, id="taint beside our label"),
]


def team(plane: controlplane.ControlPlane) -> str:
    """Give the node a label of its owner, and return its path."""
    plane.kubectl("label", "node", "worker-0", "team=a", "--overwrite")
    return f"{tokens.NODES}/worker-0"


def test_the_controller_labels_nodes(
    bench: tokens.Bench, shared_control_plane: controlplane.ControlPlane
):
    node = team(shared_control_plane)

    assert bench.controller.patch(node, READY).status == 200
    assert bench.controller.patch(node, {"metadata": {"labels": {LABEL: None}}}).status == 200


@pytest.mark.parametrize("change", FOREIGN)
def test_the_controller_changes_nothing_else_of_a_node(
    change, bench: tokens.Bench, shared_control_plane: controlplane.ControlPlane
):
    answer = bench.controller.patch(team(shared_control_plane), change)

    assert answer.status == 403
    assert "the controller may" in answer.message


def test_the_policy_holds_the_controller_whatever_its_role_says(
    bench: tokens.Bench, shared_control_plane: controlplane.ControlPlane
):
    add = '[{"op": "add", "path": "/rules/-", "value": {"apiGroups": [""], %s}}]'
    rule = '"resources": ["nodes", "nodes/status"], "verbs": ["*"]'
    shared_control_plane.kubectl(
        "patch", "clusterrole", "rcm-controller", "--type=json", "-p", add % rule
    )
    node = f"{tokens.NODES}/worker-0"
    new = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker-9"}}
    conditions = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    try:
        bench.until(lambda: bench.controller.ask("GET", node).status == 200)

        for answer in (
            bench.controller.patch(f"{node}/status", conditions),
            bench.controller.patch(f"{node}/status", READY),
            bench.controller.ask("POST", tokens.NODES, new),
            bench.controller.ask("DELETE", node),
        ):
            assert answer.status == 403
            assert "rcm-controller-node-labels" in answer.message
    finally:
        bench.reapply()


CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"
SHIMS_OWN = {"apiVersion": "runtime.spinkube.dev/v1alpha1", "kind": "Shim", "name": "s", "uid": "u"}


def runtime_class(name: str, *, ours: bool, **fields: object) -> dict[str, object]:
    metadata = {"name": name}
    if ours:
        metadata["ownerReferences"] = [SHIMS_OWN]
        fields = {"scheduling": {"nodeSelector": {LABEL: "ready"}}, **fields}
    return {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": metadata,
        "handler": name,
        **fields,
    }


def replaced(holder: tokens.Holder, name: str, **changes: object) -> tokens.Answer:
    path = f"{CLASSES}/{name}"
    return holder.ask("PUT", path, {**holder.ask("GET", path).body, **changes})


def test_the_controller_keeps_the_runtime_classes_of_shims(bench: tokens.Bench):
    own = runtime_class("spin-v2", ours=True)

    assert bench.controller.ask("POST", CLASSES, own).status == 201
    assert replaced(bench.controller, "spin-v2", overhead={"podFixed": {"cpu": "1m"}}).status == 200
    assert bench.controller.ask("DELETE", f"{CLASSES}/spin-v2").status == 200


def test_the_controller_adopts_a_runtime_class_of_nobodys(bench: tokens.Bench):
    bench.create(runtime_class("found", ours=False))
    adopted = runtime_class("found", ours=True)

    refused = replaced(bench.controller, "found", overhead={"podFixed": {"cpu": "1m"}})
    body = {**bench.controller.ask("GET", f"{CLASSES}/found").body, **adopted}
    version = bench.controller.ask("GET", f"{CLASSES}/found").body["metadata"]["resourceVersion"]
    body["metadata"] = {**adopted["metadata"], "resourceVersion": version}

    assert refused.status == 403
    assert bench.controller.ask("DELETE", f"{CLASSES}/found").status == 403
    assert bench.controller.ask("PUT", f"{CLASSES}/found", body).status == 200
    assert bench.controller.ask("DELETE", f"{CLASSES}/found").status == 200


@pytest.mark.parametrize("mark", ["managed-by", "owner"])
def test_the_controller_changes_no_runtime_class_of_others(mark, bench: tokens.Bench):
    foreign = runtime_class("gvisor", ours=False, handler="runsc")
    if mark == "owner":
        foreign["metadata"]["ownerReferences"] = [{**SHIMS_OWN, "kind": "Sandbox"}]
    else:
        foreign["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "Helm"}
    bench.create(foreign)

    for answer in (
        replaced(bench.controller, "gvisor", scheduling={"nodeSelector": {LABEL: "ready"}}),
        bench.controller.ask("DELETE", f"{CLASSES}/gvisor"),
    ):
        assert answer.status == 403
        assert "its own, or nobody's" in answer.message
    bench.plane.kubectl("delete", "runtimeclass", "gvisor")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"handler": "runc"}, id="runc"),
        pytest.param({"handler": "kata-qemu"}, id="kata"),
        pytest.param({"scheduling": {"nodeSelector": {"team": "a"}}}, id="nodes of others"),
        pytest.param({"scheduling": {}}, id="all nodes"),
        pytest.param({"metadata": {"name": "new"}}, id="of no Shim"),
    ],
)
def test_the_controller_makes_no_runtime_class_but_a_shims(fields, bench: tokens.Bench):
    made = {**runtime_class("new", ours=True), **fields}

    assert bench.controller.ask("POST", CLASSES, made).status == 403


def test_the_controller_tells_no_lies_about_nodes(bench: tokens.Bench):
    assert bench.controller.patch(status("worker-0"), told()).status == 403
    lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/worker-0"
    assert bench.controller.patch(lease, {"spec": {"holderIdentity": "x"}}).status == 403


def test_a_kubelet_labels_itself_but_never_as_ready(bench: tokens.Bench):
    node = f"{tokens.NODES}/worker-0"

    own = {"metadata": {"labels": {"example.com/x": "y"}}}
    allowed = bench.kubelet.patch(f"{node}?dryRun=All", own)
    refused = bench.kubelet.patch(node, READY)

    assert allowed.status == 200
    assert refused.status == 403
    assert "is not allowed to modify labels" in refused.message
    assert bench.kubelet.patch(status("worker-0"), told()).status == 403


def test_these_tests_see_a_policy_that_is_gone(
    bench: tokens.Bench, shared_control_plane: controlplane.ControlPlane
):
    other = f"{status('worker-1')}?dryRun=All"
    kind = "validatingadmissionpolicybinding"
    shared_control_plane.kubectl("delete", kind, "rcm-agent-own-node")
    try:
        bench.until(lambda: bench.agent.patch(other, told()).status == 200)
    finally:
        bench.reapply()
        bench.await_policies()
