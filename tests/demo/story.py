"""The story on a whole cluster: install, roll out, run, upgrade, remove.

Called by `__main__`. Each step shows what it runs; one that does not come out as promised raises.
"""

import collections.abc
import concurrent.futures
import pathlib
import platform
import re
import typing

from rcm_api import names
from tests.demo import documents, promises, terminal, web
from tests.testbed import clusters, nodes, program_images
from tests.workloads import components, images

SHIM, NEW_SHIM = "shim-0.1.0.yaml", "shim-0.2.0.yaml"
HELLO, CLIENT, INSTALL = "hello.yaml", "client.yaml", "install"
_OLD, _NEW = "0.1.0", "0.2.0"
_REPLICAS, _MORE_REPLICAS = 4, 6
_PATIENCE_S = 90.0
_SCHEDULER = "events", "--field-selector=reason=FailedScheduling"
_FIRST_MESSAGE = "--output=jsonpath={.items[0].message}"
# What the shims of running pods were started from; each pod has five processes.
_BINARIES = "pgrep -fa ^/opt/rcm/ | cut -d' ' -f2 | sort | uniq -c"
_USE = (
    "--output=custom-columns=NODE:.metadata.name,PHASE:.status.shims[0].phase,"
    "IN USE:.status.shims[0].inUse,MESSAGE:.status.shims[0].message"
)

Seen = typing.Any


class Story:
    """One cluster, and what happens on it."""

    def __init__(
        self, cluster: clusters.Cluster, term: terminal.Terminal, directory: pathlib.Path
    ) -> None:
        self._cluster = cluster
        self._term = term
        self._directory = directory
        self._names = sorted(cluster.nodes)
        self._first: dict[str, str] = {}

    def run(self, url: str) -> None:
        """Tell all of it.

        Args:
            url: Where versions of the shim are.

        Raises:
            CommandError: A command failed.
            NodeError: Something is not as promised, or not in time.
        """
        self._prepare(url)
        self._install()
        self._roll_out()
        self._serve()
        self._upgrade()
        self._remove()

    def _prepare(self, url: str) -> None:
        """Write the files, and bring images to nodes that have no registry."""
        arch = platform.machine()
        for version, name in ((_OLD, SHIM), (_NEW, NEW_SHIM)):
            self._write(name, documents.shim(web.release(version, url=url), arch=arch))
        self._write(HELLO, documents.hello())
        documents.install(self._directory / INSTALL)
        wasm = components.http_server(f"{documents.GREETING}\n", log="answered a request\n")
        archives = [
            program_images.agent().archive,
            program_images.controller().archive,
            program_images.python().archive,
            images.image(documents.HELLO_IMAGE, wasm),
        ]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(self._cluster.import_image, archives))

    def _install(self) -> None:
        self._term.say("Two nodes, two releases of containerd, and nothing for Wasm")
        columns = "NODE:.metadata.name,RUNTIME:.status.nodeInfo.containerRuntimeVersion"
        self._term.run("kubectl", "get", "nodes", f"--output=custom-columns={columns}")
        self._first = self._checksums()
        self._term.say("Install runtime-class-manager")
        self._term.run("cat", f"{INSTALL}/kustomization.yaml")
        self._term.run("kubectl", "apply", "-k", INSTALL)
        rollout = ("kubectl", "rollout", "status", "--timeout=90s")
        self._term.run(*rollout, "-n", "rcm-system", "deployment/rcm-controller")
        self._term.run(*rollout, "-n", "rcm-agents", "daemonset/rcm-agent")

    def _roll_out(self) -> None:
        self._term.say("Ask for a shim, and at the same time for pods that need it")
        self._term.run("cat", SHIM)
        with self._watching():
            self._term.run("kubectl", "apply", "-f", SHIM)
            self._await_object("runtimeclass/wasmtime")
            self._term.run("kubectl", "apply", "-f", HELLO)
            self._await_rollout(_OLD)
            self._await_pods(_REPLICAS)
        self._term.say("Pods waited for a node that was proven; nobody had to place them")
        # None, when a node was ready before the first pod was there.
        self._term.run("kubectl", "get", *_SCHEDULER, _FIRST_MESSAGE, ok=(0, 1))
        self._term.run("kubectl", "get", "noderuntimes")
        self._term.run("kubectl", "get", "nodes", "-L", names.ready_label("wasmtime"))
        self._term.run("kubectl", "get", "pods", "-o", "wide")

    def _serve(self) -> None:
        self._term.say("The pods serve; an ordinary pod asks them, and goes on asking")
        found = self._cluster.get("pods", "--selector=app=hello")["items"]
        addresses = sorted(pod["status"]["podIP"] for pod in found)
        self._write(CLIENT, documents.client(addresses, image=program_images.python().ref))
        self._term.run("kubectl", "apply", "-f", CLIENT)
        self._answered(more_than=0)
        self._term.run("kubectl", "logs", "deployment/hello", "--all-pods", "--prefix", "--tail=1")
        self._term.run("kubectl", "logs", "client", "--tail=1")

    def _upgrade(self) -> None:
        self._term.say("Upgrade the shim while they serve")
        before = self._processes("before")
        self._term.run("diff", SHIM, NEW_SHIM, ok=(0, 1))
        with self._watching():
            self._term.run("kubectl", "apply", "-f", NEW_SHIM)
            self._await_rollout(_NEW)
        after = self._processes("after")
        promises.demand(before == after, f"containerd was restarted: {before}, then {after}")
        self._answered(more_than=self._answered(more_than=0))
        self._term.run("kubectl", "logs", "client", "--tail=1")
        self._term.say("New pods take the new version; those of before keep theirs")
        self._term.run("kubectl", "scale", "deployment/hello", f"--replicas={_MORE_REPLICAS}")
        self._await_pods(_MORE_REPLICAS)
        self._term.run("kubectl", "get", "pods")
        self._show_versions()
        restarted = self._restarted()
        promises.demand(not restarted, f"a container of these was restarted: {restarted}")

    def _remove(self) -> None:
        self._term.say("Delete the Shim: it waits for the pods that use it")
        with self._watching(("noderuntimes",)):
            self._term.run("kubectl", "delete", "shim", "wasmtime", "--wait=false")
            self._await_draining()
            self._term.run("kubectl", "get", "noderuntimes", _USE)
            self._term.run("kubectl", "delete", "deployment/hello", "pod/client")
            self._term.run("kubectl", "wait", "--for=delete", "shim/wasmtime", "--timeout=90s")
        self._term.say("What is left on the nodes")
        promises.demand(self._checksums() == self._first, "config.toml is not what it was")
        self._term.line("config.toml is what it was, byte for byte.")
        for name in self._names:
            left = self._in(name, "find /opt/rcm ! -type d").split()
            binaries = [each for each in left if "/store/" in each or "/bin/" in each]
            promises.demand(not binaries, f"left behind: {binaries}")
        self._term.run("kubectl", "get", "runtimeclasses,shims,noderuntimes")

    # --- looks --------------------------------------------------------------------------------

    def _checksums(self) -> dict[str, str]:
        return {name: self._in(name, f"sha256sum {nodes.CONFIG}") for name in self._names}

    def _processes(self, when: str) -> dict[str, nodes.ContainerdProcess]:
        found = {name: self._cluster.nodes[name].containerd_process() for name in self._names}
        for name, process in found.items():
            self._term.line(
                f"containerd on {name} {when}: "
                f"PID {process.pid}, started at tick {process.start_time}"
            )
        return found

    def _show_versions(self) -> None:
        for name in self._names:
            used = self._in(name, _BINARIES).splitlines()
            promises.demand(len(used) == 2, f"not two versions in use: {used}")

    def _restarted(self) -> list[str]:
        return [
            pod["metadata"]["name"]
            for pod in self._cluster.get("pods", "--all-namespaces")["items"]
            if any(each["restartCount"] for each in pod["status"]["containerStatuses"])
        ]

    def _in(self, name: str, script: str) -> str:
        """Run a script in a node and show what it says."""
        self._term.prompt(script, where=f"{name}#")
        said = self._cluster.nodes[name].exec(["sh", "-c", script], check=False).stdout.rstrip()
        self._term.line(said or "(nothing)")
        return said

    def _answered(self, *, more_than: int) -> int:
        """Return how often the servers answered.

        Raises:
            NodeError: They failed once, or say nothing new.
        """

        def look() -> str:
            return self._term.read("kubectl", "logs", "client", "--tail=1")

        def good(said: str) -> bool:
            return "FAILED" in said or _count(said) > more_than

        said = self._cluster.wait("the servers' answers", look, good=good)
        promises.demand("FAILED" not in said, said)
        return _count(said)

    # --- waits --------------------------------------------------------------------------------

    def _watching(self, kinds: collections.abc.Iterable[str] = ("pods",)) -> typing.ContextManager:
        every = ("shims", *kinds)
        return self._term.watching(*(("kubectl", "get", kind, "--watch") for kind in every))

    def _await_object(self, what: str) -> None:
        self._cluster.wait(what, lambda: self._term.read("kubectl", "get", what))

    def _await_rollout(self, version: str) -> None:
        def good(shim: Seen) -> bool:
            status = shim.get("status", {})
            seen = status.get("observedGeneration") == shim["metadata"]["generation"]
            return seen and _reason(shim, "Progressing") == "Complete"

        look = self._cluster.get
        self._cluster.wait(
            f"version {version} on both nodes",
            lambda: look("shims", "wasmtime"),
            good=good,
            timeout_s=_PATIENCE_S,
        )

    def _await_pods(self, number: int) -> None:
        columns = "--output=jsonpath={.status.readyReplicas}"
        self._cluster.wait(
            f"{number} pods to be ready",
            lambda: self._term.read("kubectl", "get", "deployment", "hello", columns),
            good=lambda said: said == str(number),
            timeout_s=_PATIENCE_S,
        )

    def _await_draining(self) -> None:
        self._cluster.wait(
            "a node to say that it drains",
            lambda: self._cluster.get("shims", "wasmtime").get("status", {}),
            good=lambda status: status.get("nodesDraining", 0) > 0,
            timeout_s=_PATIENCE_S,
        )

    def _write(self, name: str, text: str) -> None:
        (self._directory / name).write_text(text)


def _reason(shim: Seen, kind: str) -> str:
    found = shim.get("status", {}).get("conditions", ())
    return next((each["reason"] for each in found if each["type"] == kind), "")


def _count(said: str) -> int:
    return sum(int(each) for each in re.findall(r"(\d+) x ", said))
