"""What roles may never hold, whoever edits them: the ways by which a token becomes a cluster's."""

import pytest

from tests.manifests import rendering

pytestmark = [pytest.mark.real, pytest.mark.timeout(60)]
# As rbac-police and the like look for: each alone leads to other people's secrets, Pods or nodes.
DANGEROUS = {
    "configmaps",
    "certificatesigningrequests",
    "clusterrolebindings",
    "clusterroles",
    "daemonsets",
    "deployments",
    "endpoints",
    "ephemeralcontainers",
    "jobs",
    "mutatingwebhookconfigurations",
    "nodes/proxy",
    "nodes/status",
    "persistentvolumes",
    "pods",
    "replicasets",
    "rolebindings",
    "roles",
    "secrets",
    "serviceaccounts",
    "statefulsets",
    "tokenreviews",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations",
}
VERBS = {"get", "list", "watch", "create", "update", "patch", "delete"}


def rules(found: rendering.Objects) -> list[tuple[str, rendering.Object]]:
    return [
        (f"{kind} {namespace}/{name}", rule)
        for (kind, namespace, name), document in found.items()
        if kind in ("Role", "ClusterRole")
        for rule in document["rules"]
    ]


def rendered(source: str) -> rendering.Objects:
    return rendering.objects(
        rendering.charted("--set", "podMonitors.enabled=true")
        if source == "chart"
        else rendering.kustomized("base")
    )


@pytest.mark.parametrize("source", ["base", "chart"])
def test_no_role_leads_further(source):
    found = rules(rendered(source))

    assert len(found) > 5
    for name, rule in found:
        assert "nonResourceURLs" not in rule, name
        assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}, name
        assert set(rule["verbs"]) <= VERBS, name
        resources = {r for each in rule["resources"] for r in (each, each.partition("/")[0])}
        assert not resources & DANGEROUS, name


@pytest.mark.parametrize("source", ["base", "chart"])
def test_an_agents_role_is_two_lines(source):
    found = rendered(source)

    assert found["ClusterRole", "", "rcm-agent"]["rules"] == [
        {
            "apiGroups": ["runtime.spinkube.dev"],
            "resources": ["noderuntimes"],
            "verbs": ["get", "list", "watch"],
        },
        {
            "apiGroups": ["runtime.spinkube.dev"],
            "resources": ["noderuntimes/status"],
            "verbs": ["patch"],
        },
    ]
    bound = [d for k, d in found.items() if k[0].endswith("Binding") and "subjects" in d]
    subjects = [(d["roleRef"]["name"], s["name"]) for d in bound for s in d["subjects"]]
    assert [role for role, account in subjects if account == "rcm-agent"] == ["rcm-agent"]
    assert {s["namespace"] for d in bound for s in d["subjects"]} == {"rcm-system", "rcm-agents"}


def test_policies_refuse_when_they_cannot_be_asked():
    found = rendered("base")

    for name in ("agent-own-node", "controller-node-labels", "controller-runtime-classes"):
        policy = found["ValidatingAdmissionPolicy", "", f"rcm-{name}"]["spec"]
        binding = found["ValidatingAdmissionPolicyBinding", "", f"rcm-{name}"]["spec"]
        assert policy["failurePolicy"] == "Fail"
        assert binding == {"policyName": f"rcm-{name}", "validationActions": ["Deny"]}
