"""What the tests on a whole cluster share: the product as a user installs it, and words for it.

`Product` is installed once per session by `conftest.py`. A test applies documents (`objects.py`)
with it, waits for what the API server says, and looks at nodes from inside. `clean` removes
everything that a test applied, so that the order of tests does not matter.
"""

import collections.abc
import json
import os
import pathlib
import typing

from tests.containerd import broken
from tests.e2e import objects, view
from tests.testbed import clusters, errors, fileserver, program_images, shims

CHECKOUT = pathlib.Path(__file__).parents[2]
SYSTEM = "rcm-system"
AGENTS = "rcm-agents"
_AGENT = ("--selector=app.kubernetes.io/name=rcm-agent", f"--namespace={AGENTS}")
_CONTROLLER = ("--selector=app.kubernetes.io/name=rcm-controller", f"--namespace={SYSTEM}")
# A failed node is tried again soon, so that a test sees it.
_CONTROLLER_FLAGS = ("--backoff=5s",)
# The shims of these tests come from this machine, which has a private address.
_AGENT_FLAGS = ("--allow-private",)

Document = view.Document


class Product(view.View):
    """The product on a cluster.

    Attributes:
        web: Where shims are fetched from.
        first: The nodes as they were before anything of ours came.
    """

    def __init__(
        self, cluster: clusters.Cluster, web: fileserver.Server, directory: pathlib.Path
    ) -> None:
        super().__init__(cluster)
        self.web = web
        self.first = self.look()
        self._directory = directory
        # Asked once: a checkout that is edited meanwhile has other images.
        self._programs = {
            "rcm-agent": program_images.agent(),
            "rcm-controller": program_images.controller(),
        }
        self._imported: set[str] = set()

    # --- the product --------------------------------------------------------------------------

    def install(
        self,
        *,
        agent_flags: collections.abc.Sequence[str] = (),
        agent_env: collections.abc.Mapping[str, str] | None = None,
        controller_flags: collections.abc.Sequence[str] = (),
    ) -> None:
        """Install as a user does, with `kubectl apply -k` of an overlay of their own, and wait.

        Args:
            agent_flags: Added to the agents' arguments.
            agent_env: Added to the agents' environment.
            controller_flags: Added to the controller's arguments.

        Raises:
            BuildError: An image cannot be built.
            NodeError: Something does not run in time.
        """
        self.import_programs()
        patches = [
            *_added("DaemonSet", "args", (*_AGENT_FLAGS, *agent_flags)),
            *_added("Deployment", "args", (*_CONTROLLER_FLAGS, *controller_flags)),
            *_added("DaemonSet", "env", [_variable(*each) for each in (agent_env or {}).items()]),
        ]
        overlay = _overlay(self._directory / "overlay", self._programs, patches)
        self.cluster.kubectl("apply", "-k", str(overlay))
        self.wait_running()

    def import_programs(self, *node_names: str) -> None:
        """Import the images of agent and controller on the named nodes, or on all, once."""
        lacking = set(node_names or self.cluster.nodes) - self._imported
        for image in self._programs.values() if lacking else ():
            self.cluster.import_image(image.archive, names=lacking)
        self._imported |= lacking

    def import_agent(self, node: str) -> None:
        """Import the agent's image on a node that a test added."""
        self.cluster.import_image(self._programs["rcm-agent"].archive, names=[node])

    def wait_running(self) -> None:
        """Wait until the controller and every node's agent are ready.

        Raises:
            NodeError: One is not in time; with what its pods say.
        """
        wanted = {"deployment/rcm-controller": SYSTEM, "daemonset/rcm-agent": AGENTS}
        for what, namespace in wanted.items():
            words = ("rollout", "status", what, f"--namespace={namespace}", "--timeout=120s")
            try:
                self.cluster.kubectl(*words)
            except errors.CommandError as error:
                raise errors.NodeError(f"{error}\n{self.last_words(namespace)}") from error

    def last_words(self, namespace: str) -> str:
        """Return how the pods of a namespace are, and the end of what they logged."""
        said = [self.cluster.kubectl("get", "pods,events", "-o", "wide", "-n", namespace)]
        for pod in self.cluster.get("pods", f"--namespace={namespace}")["items"]:
            where = (pod["metadata"]["name"], f"--namespace={namespace}")
            try:
                said.append(self.cluster.kubectl("logs", "--tail=20", *where))
            except errors.CommandError as error:
                said.append(str(error))
        return "\n".join(said)

    def agent_pod(self, node: str) -> Document:
        """Return the running agent pod of a node.

        Raises:
            NodeError: None runs in time.
        """
        where = (*_AGENT, f"--field-selector=spec.nodeName={node}")
        return self.wait(
            f"the agent of {node}",
            lambda: self.cluster.get("pods", *where)["items"],
            good=lambda pods: len(pods) == 1 and view.is_ready(pods[0]),
        )[0]

    def controller_pods(self) -> list[Document]:
        """Return the controller's pods."""
        return list(self.cluster.get("pods", *_CONTROLLER)["items"])

    def agent_log(self, node: str) -> str:
        """Return what the agent of a node logged."""
        name = self.agent_pod(node)["metadata"]["name"]
        return self.cluster.kubectl("logs", name, f"--namespace={AGENTS}")

    def metrics(self, pod: Document, port: int) -> dict[str, float]:
        """Return the metrics of a pod, asked from the node that it runs on."""
        url = f"http://{pod['status']['podIP']}:{port}/metrics"
        script = (
            f"import urllib.request as r; print(r.urlopen('{url}', timeout=10).read().decode())"
        )
        node = self.cluster.nodes[pod["spec"]["nodeName"]]
        lines = node.exec(["python3", "-c", script]).stdout.splitlines()
        pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def leader_metrics(self) -> dict[str, float]:
        """Return the metrics of the controller that writes.

        Raises:
            NodeError: None does in time.
        """
        found = self.wait(
            "a leader",
            lambda: [self.metrics(pod, 8080) for pod in self.controller_pods()],
            good=lambda pods: any(pod["rcm_leader"] == 1 for pod in pods),
        )
        return next(pod for pod in found if pod["rcm_leader"] == 1)

    def forget_node(self, name: str) -> None:
        """Remove a node that a test added."""
        self.cluster.remove_node(name)
        self._imported.discard(name)

    # --- documents ----------------------------------------------------------------------------

    def apply(self, *documents: Document) -> str:
        """Run `kubectl apply -f` of documents; return what it prints, warnings aside."""
        text = "\n---\n".join(map(json.dumps, documents))
        return self.cluster.kubectl("apply", "-f", "-", stdin=text)

    def delete(self, *words: str) -> None:
        """Delete objects and return at once."""
        self.cluster.kubectl("delete", "--wait=false", "--ignore-not-found", *words)

    def release(self, variant: str) -> fileserver.File:
        """Publish a build of the reference shim, or one that is broken."""
        if variant in broken.WAYS:
            return self.web.add(broken.build() / variant / broken.BINARY)
        return self.web.add(shims.archive(variant))

    def shim(self, name: str, variant: str = "v0.1.0", **fields: typing.Any) -> Document:
        """Return a Shim of a published build; `objects.shim` tells of its fields."""
        found = self.release(variant)
        fields = {"version": variant, **fields}
        return objects.shim(name, location=found.url, sha256=found.sha256, **fields)

    def import_guest(self, ref: str, wasm: bytes) -> str:
        """Import a guest's image on all nodes and return its name."""
        self.cluster.import_image(objects.wasm_image(ref, wasm))
        return ref

    def clean(self) -> None:
        """Remove everything that a test applied, and give the nodes their restarts back.

        Raises:
            NodeError: Something does not go in time.
        """
        self.fresh_budgets()
        self.delete("deployments,pods", "--all", "--grace-period=1", "--namespace=default")
        self.wait_gone("deployments,pods", "--namespace=default")
        self.forget_restarts()
        self.delete(view.SHIM, "--all")
        self.wait_gone(view.SHIM)
        self.delete("events", "--all", "--namespace=default")
        self.fresh_budgets()

    def fresh_budgets(self) -> None:
        """Forget the nodes' restarts: tests follow each other faster than the agent allows them."""
        self.forget_restarts()

    def forget_restarts(self) -> None:
        """Let agents restart containerd again: tests follow each other faster than they may."""
        for node in self.cluster.nodes:
            self.host(node).fresh_budget()


def _overlay(
    directory: pathlib.Path,
    programs: collections.abc.Mapping[str, program_images.ProgramImage],
    patches: collections.abc.Sequence[Document],
) -> pathlib.Path:
    directory.mkdir(exist_ok=True)
    base = os.path.relpath(CHECKOUT / "manifests" / "overlays" / "vanilla", directory)
    document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [base],
        "images": [_renamed(name, image.ref) for name, image in programs.items()],
        "patches": list(patches),
    }
    (directory / "kustomization.yaml").write_text(json.dumps(document))
    return directory


def _renamed(name: str, ref: str) -> Document:
    new_name, _, tag = ref.rpartition(":")
    return {"name": name, "newName": new_name, "newTag": tag}


def _added(kind: str, field: str, values: collections.abc.Iterable[object]) -> list[Document]:
    path = f"/spec/template/spec/containers/0/{field}/-"
    steps = [{"op": "add", "path": path, "value": value} for value in values]
    return [{"target": {"kind": kind}, "patch": json.dumps(steps)}] if steps else []


def _variable(name: str, value: str) -> Document:
    return {"name": name, "value": value}
