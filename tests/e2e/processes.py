"""Pods as their nodes see them: processes, and the files that these run."""

from tests.e2e import objects
from tests.testbed import nodes


def container(pod: objects.Document) -> str:
    """Return containerd's name of a Pod's only container."""
    (found,) = pod["status"]["containerStatuses"]
    return str(found["containerID"]).removeprefix("containerd://")


def pid(node: nodes.Node, pod: objects.Document) -> str:
    """Return the process of a Pod's only container, as its node counts."""
    return tasks(node)[container(pod)]


def binary(node: nodes.Node, pod: objects.Document) -> str:
    """Return the file that the process of a Pod's only container runs; for Wasm, its shim."""
    return node.exec(["readlink", f"/proc/{pid(node, pod)}/exe"]).stdout.strip()


def tasks(node: nodes.Node) -> dict[str, str]:
    """Return what containerd runs: the process of each container and sandbox."""
    lines = node.ctr("task", "list").stdout.splitlines()[1:]
    fields = map(str.split, lines)
    return {name: process for name, process, state in fields if state == "RUNNING"}
