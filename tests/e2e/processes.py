"""Pods as their nodes see them: processes, and the files that these run."""

from tests.e2e import objects
from tests.testbed import nodes

_GUESTS = """
for p in /proc/[0-9]*; do
  case "$(readlink $p/exe)" in /opt/rcm/*)
    grep -qsP '^NSpid:(\\t[0-9]+){2}' $p/status && echo ${p#/proc/};;
  esac
done
true
"""


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


def guests(node: nodes.Node) -> set[str]:
    """Return the processes of our shims that run Wasm, each in a PID namespace of its own.

    A shim also has helpers, one per container that it ever started, which hold nothing.
    """
    return set(node.exec(["sh", "-c", _GUESTS]).stdout.split())
