"""What the tests on a whole cluster share: the product as a user installs it, and words for it.

`Product` is installed once per session by `conftest.py`. A test applies documents (`objects.py`)
with it, waits for what the API server says, and looks at nodes from inside. `clean` removes
everything that a test applied, so that the order of tests does not matter.
"""

import collections.abc
import concurrent.futures
import json
import os
import pathlib
import re
import typing

from rcm_api import names
from tests.containerd import broken
from tests.containerd import support as hosts
from tests.e2e import objects
from tests.testbed import clusters, errors, fileserver, nodes, program_images, shims

CHECKOUT = pathlib.Path(__file__).parents[2]
SYSTEM = "rcm-system"
AGENTS = "rcm-agents"
# A second Shim or a drain is noticed within five seconds; the rest is for a busy machine.
PATIENCE_S = 90.0
_SHIM = "shims.runtime.spinkube.dev"
_RUNTIME = "noderuntimes.runtime.spinkube.dev"
_AGENT = ("--selector=app.kubernetes.io/name=rcm-agent", f"--namespace={AGENTS}")
_CONTROLLER = ("--selector=app.kubernetes.io/name=rcm-controller", f"--namespace={SYSTEM}")
# A failed node is tried again soon, so that a test sees it.
_CONTROLLER_FLAGS = ("--backoff=5s",)
# The shims of these tests come from this machine, which has a private address.
_AGENT_FLAGS = ("--allow-private",)

Document = objects.Document


class Product:
    """The product on a cluster.

    Attributes:
        cluster: It runs on.
        web: Where shims are fetched from.
    """

    def __init__(
        self, cluster: clusters.Cluster, web: fileserver.Server, directory: pathlib.Path
    ) -> None:
        self.cluster = cluster
        self.web = web
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
            good=lambda pods: len(pods) == 1 and _is_ready(pods[0]),
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

    # --- what the API server says -------------------------------------------------------------

    def wait(
        self,
        what: str,
        look: collections.abc.Callable[[], typing.Any],
        *,
        good: collections.abc.Callable[[typing.Any], object] = bool,
        timeout_s: float = PATIENCE_S,
    ) -> typing.Any:
        """Wait as `Cluster.wait` does; a failure also tells how Shims and nodes are.

        Raises:
            NodeError: The time passed; with what was seen last.
        """
        try:
            return self.cluster.wait(what, look, good=good, timeout_s=timeout_s)
        except errors.NodeError as error:
            raise errors.NodeError(f"{error}\n{self.story()}") from None

    def story(self) -> str:
        """Return what a person would look at: Shims, NodeRuntimes, pods and their events."""
        return "\n".join(
            self.cluster.kubectl("get", *words)
            for words in (
                (_SHIM, "-o", "jsonpath={range .items[*]}{.metadata.name} {.status}{'\\n'}{end}"),
                (
                    _RUNTIME,
                    "-o",
                    "jsonpath={range .items[*]}{.metadata.name} {.status}{'\\n'}{end}",
                ),
                ("pods", "-A", "-o", "wide"),
                ("events", "-n", "default"),
            )
        )

    def status(self, shim: str) -> Document:
        """Return a Shim's status."""
        return typing.cast("Document", self.cluster.get(_SHIM, shim).get("status", {}))

    def condition(self, shim: str, kind: str) -> Document:
        """Return a condition of a Shim's, empty if there is none."""
        found = self.status(shim).get("conditions", [])
        return next((each for each in found if each["type"] == kind), {})

    def entry(self, node: str, shim: str) -> Document:
        """Return what a node's agent says of a Shim, empty if nothing."""
        found = self.cluster.get(_RUNTIME, "--ignore-not-found", node) if node else {}
        seen = found.get("status", {}).get("shims", [])
        return next((each for each in seen if each["name"] == shim), {})

    def labelled(self, shim: str) -> set[str]:
        """Return the nodes with a Shim's ready label."""
        selector = f"--selector={names.ready_label(shim)}={names.READY}"
        return {each["metadata"]["name"] for each in self.cluster.get("nodes", selector)["items"]}

    def wait_ready(self, shim: str, *node_names: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait until a Shim is complete, and these are the nodes with its label; none: all.

        Raises:
            NodeError: It is not in time.
        """
        wanted = set(node_names or self.cluster.nodes)
        generation = self.cluster.get(_SHIM, shim)["metadata"]["generation"]
        self.wait(
            f"Shim {shim} to be ready on {sorted(wanted)}",
            lambda: (self.status(shim), self.labelled(shim)),
            good=lambda seen: seen[1] == wanted and _complete(seen[0], generation),
            timeout_s=timeout_s,
        )

    def wait_phase(
        self, node: str, shim: str, phase: str, *, timeout_s: float = PATIENCE_S
    ) -> Document:
        """Wait until a node's agent says a phase, and return its entry.

        Raises:
            NodeError: It does not in time.
        """
        return typing.cast(
            "Document",
            self.wait(
                f"{node} to say {phase} of {shim}",
                lambda: self.entry(node, shim),
                good=lambda seen: seen.get("phase") == phase,
                timeout_s=timeout_s,
            ),
        )

    def wait_pod(self, name: str, *, timeout_s: float = PATIENCE_S) -> Document:
        """Wait until a Pod's containers run and are ready; return it.

        Raises:
            NodeError: They do not in time.
        """
        found = self.wait(
            f"Pod {name} to run",
            lambda: self.cluster.get("pod", name),
            good=_is_ready,
            timeout_s=timeout_s,
        )
        return typing.cast("Document", found)

    def wait_gone(self, *words: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait until `kubectl get` finds nothing.

        Raises:
            NodeError: It does in time.
        """
        look = ("get", "--ignore-not-found", "--output=name", *words)
        self.wait(
            f"{' '.join(words)} to be gone",
            lambda: self.cluster.kubectl(*look).strip(),
            good=lambda seen: not seen,
            timeout_s=timeout_s,
        )

    def events(self, kind: str, name: str) -> list[str]:
        """Return "Reason: message" of each event about an object."""
        selector = f"--field-selector=involvedObject.kind={kind},involvedObject.name={name}"
        found = self.cluster.get("events", "-A", selector)["items"]
        return [f"{event['reason']}: {event['message']}" for event in found]

    # --- nodes --------------------------------------------------------------------------------

    def host(self, node: str) -> hosts.Host:
        """Return a node as the agent's own tests see it."""
        return hosts.Host(self.cluster.nodes[node])

    def look(self, *node_names: str) -> dict[str, hosts.Look]:
        """Look at nodes from inside, at all when none is named."""
        chosen = node_names or tuple(self.cluster.nodes)
        with concurrent.futures.ThreadPoolExecutor(len(chosen)) as pool:
            return dict(zip(chosen, pool.map(lambda n: self.host(n).look(), chosen), strict=True))

    def clean(self) -> None:
        """Remove everything that a test applied, and give the nodes their restarts back.

        Raises:
            NodeError: Something does not go in time.
        """
        self.delete("deployments,pods", "--all", "--grace-period=1", "--namespace=default")
        self.wait_gone("deployments,pods", "--namespace=default")
        self.delete(_SHIM, "--all")
        self.wait_gone(_SHIM)
        self.delete("events", "--all", "--namespace=default")
        for node in self.cluster.nodes:
            self.host(node).fresh_budget()


def shim_processes(node: nodes.Node) -> list[str]:
    """Return the command lines of our shims' processes, one per sandbox."""
    said = node.exec(["pgrep", "--full", "--list-full", "^/opt/rcm/bin/"], check=False).stdout
    return [line for line in said.splitlines() if re.search(r" -id ", line)]


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


def _is_ready(pod: Document) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _complete(status: Document, generation: int) -> bool:
    found = {each["type"]: each for each in status.get("conditions", ())}
    done = found.get("Progressing", {}).get("reason") == "Complete"
    return done and status.get("observedGeneration") == generation
