"""What somebody could do with the token of one of our Pods: asks a real API server.

The base of `manifests/` is installed as a user would, two nodes are objects, and a Pod of each
program is bound to one, which is all that the API server looks at when it makes a token.
"""

import collections.abc
import concurrent.futures
import dataclasses
import json
import pathlib
import subprocess
import time
from typing import Any

import urllib3

from tests.cluster import shim_api
from tests.testbed import controlplane, kube

BASE = pathlib.Path(__file__).parents[2] / "manifests" / "base"
RUNTIMES = "/apis/runtime.spinkube.dev/v1alpha1/noderuntimes"
NODES = "/api/v1/nodes"
NODE_NAMES = ("worker-0", "worker-1")
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
# Rights that no request for an object shows: who may act for whom, or give more than he has.
UNSERVED = (
    ("impersonate", "", "users"),
    ("impersonate", "", "groups"),
    ("impersonate", "", "serviceaccounts"),
    ("impersonate", "authentication.k8s.io", "uids"),
    ("impersonate", "authentication.k8s.io", "userextras/scopes"),
    ("escalate", "rbac.authorization.k8s.io", "clusterroles"),
    ("bind", "rbac.authorization.k8s.io", "clusterroles"),
    ("escalate", "rbac.authorization.k8s.io", "roles"),
    ("bind", "rbac.authorization.k8s.io", "roles"),
    ("approve", "certificates.k8s.io", "signers"),
    ("sign", "certificates.k8s.io", "signers"),
    ("attest", "certificates.k8s.io", "signers"),
    ("use", "policy", "podsecuritypolicies"),
)
_THREADS = 8
_POLICY_TIMEOUT_S = 30.0
"""The API server has read a policy after 1 to 2 s on a quiet machine."""


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What the API server said."""

    status: int
    body: dict[str, Any]

    @property
    def message(self) -> str:
        return self.body.get("message", "")


class Holder:
    """Asks with one login."""

    def __init__(self, url: str, http: urllib3.PoolManager, token: str = "") -> None:
        self._url = url
        self._http = http
        self._login = {"authorization": f"Bearer {token}"} if token else {}

    def ask(self, method: str, path: str, body: object = None, *, kind: str = "json") -> Answer:
        """Send one request; `kind` is `json`, `merge-patch+json` or `apply-patch+yaml`."""
        found = self._http.request(
            method,
            self._url + path,
            body=None if body is None else json.dumps(body).encode(),
            headers={"content-type": f"application/{kind}", **self._login},
            retries=False,
            timeout=30.0,
        )
        return Answer(found.status, found.json())

    def patch(self, path: str, body: object) -> Answer:
        return self.ask("PATCH", path, body, kind="merge-patch+json")

    def apply(self, path: str, body: object, *, query: str = "") -> Answer:
        """Patch by server-side apply."""
        return self.ask(
            "PATCH", f"{path}?fieldManager=thief&force=true{query}", body, kind="apply-patch+yaml"
        )

    def allowed(self, namespaces: tuple[str, ...]) -> set[str]:
        """Return what this login may do, of all that the API server serves.

        As `verb resource.group`, with `in NAMESPACE` where a resource has one; cluster-wide rights
        on such resources have `in *`.
        """
        asked = list(_questions(self, namespaces))
        with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
            answers = pool.map(self._may, asked)
        return {_spelled(each) for each, yes in zip(asked, answers, strict=True) if yes}

    def _may(self, attributes: dict[str, str]) -> bool:
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {k: v for k, v in attributes.items() if v != "*"}},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = self.ask("POST", path, review)
        assert answer.status == 201, answer
        return answer.body["status"]["allowed"]


def _questions(
    holder: Holder, namespaces: tuple[str, ...]
) -> collections.abc.Iterator[dict[str, str]]:
    for group, resource, namespaced in _served(holder):
        for verb in VERBS:
            for namespace in ("*", *namespaces) if namespaced else ("",):
                yield _attributes(verb, group, resource, namespace)
    for verb, group, resource in UNSERVED:
        yield _attributes(verb, group, resource, "")


def _attributes(verb: str, group: str, resource: str, namespace: str) -> dict[str, str]:
    plural, _, subresource = resource.partition("/")
    return {
        "verb": verb,
        "group": group,
        "resource": plural,
        "subresource": subresource,
        "namespace": namespace,
    }


def _spelled(asked: dict[str, str]) -> str:
    part = f"/{asked['subresource']}" if asked["subresource"] else ""
    group = f".{asked['group']}" if asked["group"] else ""
    where = f" in {asked['namespace']}" if asked["namespace"] else ""
    return f"{asked['verb']} {asked['resource']}{part}{group}{where}"


def _served(holder: Holder) -> list[tuple[str, str, bool]]:
    """Return group, resource or resource/subresource, and whether it has a namespace."""
    groups = holder.ask("GET", "/apis").body["groups"]
    paths = [("", "/api/v1")]
    for group in groups:
        paths += [(group["name"], f"/apis/{v['groupVersion']}") for v in group["versions"]]
    found = {
        (each.get("group", group), each["name"], each["namespaced"])
        for group, path in paths
        for each in holder.ask("GET", path).body["resources"]
    }
    return sorted(found)


class Bench:
    """A control plane with our manifests, and logins of all who could turn against it."""

    def __init__(self, plane: controlplane.ControlPlane) -> None:
        self.plane = plane
        self._http = urllib3.PoolManager(ca_certs=str(plane.ca), maxsize=_THREADS)
        self._install()
        self._populate()
        self.agent = self._holder(self._token("rcm-agents", "rcm-agent", "agent-0"))
        self.unbound_agent = self._holder(self._token("rcm-agents", "rcm-agent"))
        self.controller = self._holder(self._token("rcm-system", "rcm-controller", "controller-0"))
        self.kubelet = self._certified("system:node:worker-0", "system:nodes")
        self.await_policies()

    def _certified(self, name: str, group: str) -> Holder:
        pair = self.plane.authority.client(name, groups=(group,))
        files = {"cert": pair.certificate, "key": pair.key}
        for suffix, data in files.items():
            (self.plane.directory / f"thief.{suffix}").write_bytes(data)
        http = urllib3.PoolManager(
            ca_certs=str(self.plane.ca),
            cert_file=str(self.plane.directory / "thief.cert"),
            key_file=str(self.plane.directory / "thief.key"),
        )
        return Holder(self.plane.url, http)

    def _holder(self, token: str) -> Holder:
        return Holder(self.plane.url, self._http, token)

    def _token(self, namespace: str, account: str, pod: str = "") -> str:
        bound = ("--bound-object-kind=Pod", f"--bound-object-name={pod}") if pod else ()
        return self.plane.kubectl("create", "token", account, "-n", namespace, *bound).strip()

    def _install(self) -> None:
        shim_api.install(self.plane)
        self.reapply()

    def reapply(self) -> None:
        """Put the manifests back as they are in the repository."""
        argv = [str(kube.programs() / "kubectl"), "kustomize", str(BASE)]
        rendered = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        self.plane.kubectl("apply", "--server-side", "--force-conflicts", "-f-", stdin=rendered)

    def _populate(self) -> None:
        for name in NODE_NAMES:
            self.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
            self.create(
                {
                    "apiVersion": "runtime.spinkube.dev/v1alpha1",
                    "kind": "NodeRuntime",
                    "metadata": {"name": name},
                    "spec": {"nodeUid": "0d4c4ba2-4b5c-4f2e-9d4e-0c6f3c1c8b5a", "shims": []},
                }
            )
        self.create(_pod("agent-0", "rcm-agents", "rcm-agent"))
        self.create(_pod("controller-0", "rcm-system", "rcm-controller"))

    def create(self, document: dict[str, Any]) -> None:
        """Create an object as an administrator."""
        self.plane.kubectl("apply", "--server-side", "-f-", stdin=json.dumps(document))

    def await_policies(self) -> None:
        """Wait until the API server asks our policies."""
        other = f"{RUNTIMES}/worker-1/status?dryRun=All"
        self.until(lambda: self.agent.patch(other, {"status": {}}).status == 403)
        own = f"{NODES}/worker-0?dryRun=All"
        foreign = {"metadata": {"labels": {"example.com/nobody-has-this": "y"}}}
        self.until(lambda: self.controller.patch(own, foreign).status == 403)
        gone = "/apis/node.k8s.io/v1/runtimeclasses?dryRun=All"
        runc = {"metadata": {"name": "runc"}, "handler": "runc"}
        self.until(lambda: self.controller.ask("POST", gone, runc).status == 403)

    def until(self, true: collections.abc.Callable[[], bool]) -> None:
        deadline = time.monotonic() + _POLICY_TIMEOUT_S
        while not true():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def remove(self) -> None:
        """Take away what would be in the way of other tests; namespaces and kinds stay."""
        kinds = "validatingadmissionpolicies,validatingadmissionpolicybindings"
        self.plane.kubectl("delete", kinds, "-l", "app.kubernetes.io/part-of=runtime-class-manager")
        for namespace in ("rcm-system", "rcm-agents"):
            everything = "deployments,daemonsets,pods,poddisruptionbudgets"
            self.plane.kubectl("delete", everything, "--all", "--force", "-n", namespace)


def _pod(name: str, namespace: str, account: str) -> dict[str, Any]:
    restricted = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "nodeName": "worker-0",
            "serviceAccountName": account,
            "containers": [{"name": "c", "image": "none", "securityContext": restricted}],
        },
    }
