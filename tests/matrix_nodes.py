"""The last column of the matrix: a real node with the installed files, whose CRI is asked.

One node per release, used for one configuration after the other.
"""

import base64
import collections.abc
import contextlib
import json
import threading

from rcm_agent import ports
from tests.testbed import nodes

# Runs in the node: puts the files in place, restarts containerd, prints what CRI says.
_ASK = """
import base64, json, pathlib, re, shutil, subprocess, sys, time
from rcm_agent import errors
from rcm_agent.host import open as doors
order = json.load(sys.stdin)
subprocess.run(["systemctl", "stop", "containerd"], check=True)
shutil.rmtree("/etc/containerd", ignore_errors=True)
for path in pathlib.Path("/run/rcm").glob("*.toml"):
    path.unlink()
for path, data in order["files"].items():
    target = pathlib.Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    content = base64.b64decode(data)
    target.write_bytes(content)
    # The base specs that kind's and EKS's files name come with their images.
    for spec in re.findall(rb'"(/etc/containerd/[^"]*[.]json)"', content):
        with open(spec, "wb") as file:
            subprocess.run(["ctr", "oci", "spec"], stdout=file, check=True)
subprocess.run(["systemctl", "reset-failed", "containerd"], check=False)
subprocess.run(["systemctl", "start", "containerd"], check=False)
told, end = "no answer", time.monotonic() + 20
while time.monotonic() < end:
    try:
        status = doors.open_host().containerd.status(timeout_s=2)
        told = "yes" if status.runtime_ready else "CRI is not ready"
        if told == "yes" and not set(order["handlers"]) <= status.handlers:
            told = f"CRI has only the handlers {sorted(status.handlers)}"
        if told == "yes":
            break
    except errors.AgentError as error:
        told = error.cause
    time.sleep(0.05)
print(told)
"""


class Healthy:
    """Answers `matrix.Healthy` with one node per release; close it when done."""

    def __init__(self) -> None:
        """Start nodes when they are asked for."""
        self._stack = contextlib.ExitStack()
        self._nodes: dict[str, nodes.Node] = {}
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}

    def __call__(
        self, version: str, files: ports.Files, handlers: collections.abc.Collection[str]
    ) -> str:
        """Return `yes`, or what is wrong with CRI, or that it lacks one of the handlers."""
        with self._lock:
            turn = self._turns.setdefault(version, threading.Lock())
        with turn:
            return self._ask(self._node(version), files, handlers)

    def close(self) -> None:
        """Remove the nodes."""
        self._stack.close()

    def _node(self, version: str) -> nodes.Node:
        with self._lock:
            if version not in self._nodes:
                self._nodes[version] = self._stack.enter_context(nodes.start(containerd=version))
            return self._nodes[version]

    def _ask(
        self, node: nodes.Node, files: ports.Files, handlers: collections.abc.Collection[str]
    ) -> str:
        contents = {
            path: base64.b64encode(data).decode()
            for path, data in files.items()
            if data is not None
        }
        order = json.dumps({"files": contents, "handlers": sorted(handlers)})
        path = {"PYTHONPATH": "/srv/rcm:/srv/rcm-deps"}
        done = node.exec(["python3", "-c", _ASK], input=order.encode(), env=path, check=False)
        return done.stdout.strip() or f"exit code {done.exit_code}: {done.stderr[-200:]}"
