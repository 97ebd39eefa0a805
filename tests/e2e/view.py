"""What the tests on a whole cluster see: Shims, NodeRuntimes and pods by the API, nodes from inside.

`View` waits with deadlines, and a wait that fails tells what a person would look at.
"""

import collections.abc
import concurrent.futures
import re
import typing

from rcm_api import names
from tests.containerd import support as hosts
from tests.e2e import objects
from tests.testbed import clusters, errors, nodes

# A second Shim or a drain is noticed within five seconds; the rest is for a busy machine.
PATIENCE_S = 90.0
SHIM = "shims.runtime.spinkube.dev"
RUNTIME = "noderuntimes.runtime.spinkube.dev"

Document = objects.Document


class View:
    """A cluster with the product on it.

    Attributes:
        cluster: It runs on.
    """

    def __init__(self, cluster: clusters.Cluster) -> None:
        self.cluster = cluster

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
                (SHIM, "-o", "jsonpath={range .items[*]}{.metadata.name} {.status}{'\\n'}{end}"),
                (
                    RUNTIME,
                    "-o",
                    "jsonpath={range .items[*]}{.metadata.name} {.status}{'\\n'}{end}",
                ),
                ("pods", "-A", "-o", "wide"),
                ("events", "-n", "default"),
            )
        )

    def status(self, shim: str) -> Document:
        """Return a Shim's status."""
        return typing.cast("Document", self.cluster.get(SHIM, shim).get("status", {}))

    def condition(self, shim: str, kind: str) -> Document:
        """Return a condition of a Shim's, empty if there is none."""
        found = self.status(shim).get("conditions", [])
        return next((each for each in found if each["type"] == kind), {})

    def entry(self, node: str, shim: str) -> Document:
        """Return what a node's agent says of a Shim, empty if nothing."""
        runtimes = {each["metadata"]["name"]: each for each in self.cluster.get(RUNTIME)["items"]}
        seen = runtimes.get(node, {}).get("status", {}).get("shims", [])
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
        generation = self.cluster.get(SHIM, shim)["metadata"]["generation"]
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
            good=is_ready,
            timeout_s=timeout_s,
        )
        return typing.cast("Document", found)

    def wait_draining(self, node: str, shim: str) -> int:
        """Wait until a node drains, and return how many sandboxes still use the Shim.

        Raises:
            NodeError: It does not in time.
        """
        return int(self.wait_phase(node, shim, "Draining").get("inUse", 0))

    def wait_available(
        self, deployment: str, replicas: int, *, timeout_s: float = PATIENCE_S
    ) -> list[Document]:
        """Wait until a Deployment's pods, and no others of it, are ready; return them.

        Raises:
            NodeError: They are not in time.
        """
        label = "--selector=" + ",".join(
            f"{key}={value}"
            for key, value in self.cluster.get("deployment", deployment)["spec"]["selector"][
                "matchLabels"
            ].items()
        )
        found = self.wait(
            f"{replicas} pods of {deployment}",
            lambda: self.cluster.get("pods", label)["items"],
            good=lambda pods: len(pods) == replicas and all(map(is_ready, pods)),
            timeout_s=timeout_s,
        )
        return typing.cast("list[Document]", found)

    def exists(self, *words: str) -> bool:
        """Tell whether `kubectl get` finds something."""
        look = ("get", "--ignore-not-found", "--output=name", *words)
        return bool(self.cluster.kubectl(*look).strip())

    def containers(self, pod: str) -> set[tuple[str, int]]:
        """Return ID and restartCount of each container of a Pod."""
        return _containers(self.cluster.get("pod", pod))

    def all_containers(self, namespace: str = "default") -> dict[str, set[tuple[str, int]]]:
        """Return `containers` of each Pod in a namespace."""
        pods = self.cluster.get("pods", f"--namespace={namespace}")["items"]
        return {pod["metadata"]["name"]: _containers(pod) for pod in pods}

    def restarts(self, pod: str) -> int:
        """Return how often the containers of a Pod were started again."""
        return sum(count for _, count in self.containers(pod))

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

    def node_of(self, pod: Document) -> nodes.Node:
        """Return the node that a Pod runs on."""
        return self.cluster.nodes[pod["spec"]["nodeName"]]

    def look(self, *node_names: str) -> dict[str, hosts.Look]:
        """Look at nodes from inside, at all when none is named."""
        chosen = node_names or tuple(self.cluster.nodes)
        with concurrent.futures.ThreadPoolExecutor(len(chosen)) as pool:
            return dict(zip(chosen, pool.map(lambda n: self.host(n).look(), chosen), strict=True))


def shim_sandboxes(node: nodes.Node) -> set[str]:
    """Return the IDs of the sandboxes that processes of our shims belong to."""
    said = node.exec(["pgrep", "--full", "--list-full", "^/opt/rcm/"], check=False).stdout
    return set(re.findall(r" -id (\w+)", said))


def running_tasks(node: nodes.Node) -> set[str]:
    """Return the IDs of the sandboxes and containers that containerd knows as running."""
    said = node.ctr("tasks", "list").stdout
    return {line.split()[0] for line in said.splitlines() if "RUNNING" in line}


def _containers(pod: Document) -> set[tuple[str, int]]:
    found = pod["status"].get("containerStatuses", ())
    return {(each["containerID"], each["restartCount"]) for each in found}


def is_ready(pod: Document) -> bool:
    """Tell whether a Pod is ready."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _complete(status: Document, generation: int) -> bool:
    found = {each["type"]: each for each in status.get("conditions", ())}
    done = found.get("Progressing", {}).get("reason") == "Complete"
    return done and status.get("observedGeneration") == generation
