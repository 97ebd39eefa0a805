"""Pods without a kubelet: the CRI calls that a kubelet would make.

    with pods.sandbox(node, "web", handler="wasmtime") as pod:
        container = pod.run("rcm.test/web:1")
        pod.wait_log(container, "listening")

The calls are made from within the node, so that nothing but Docker is needed on this machine. A pod
whose node died cannot be removed: its block ends with a CriError.
"""

import collections.abc
import contextlib
import dataclasses
import subprocess
import time
import uuid

from tests.testbed import errors, nodes, shell
from tests.workloads import wire

# Runs in the node for as long as the pod: a request line in, an answer line out. It waits for a
# containerd that restarts, as a kubelet does.
_CLIENT = """
import sys, grpc
channel = grpc.insecure_channel("unix:" + sys.argv[1])
for line in sys.stdin:
    method, request = line.split(" ")
    try:
        call = channel.unary_unary("/runtime.v1.RuntimeService/" + method)
        print("ok", call(bytes.fromhex(request), timeout=60, wait_for_ready=True).hex(), flush=True)
    except grpc.RpcError as error:
        print("failed", error.code().name, repr(error.details()), flush=True)
"""
_PYTHON = {"PYTHONPATH": "/srv/rcm-deps"}
_LOGS = "/var/log/pods"
_POLL_S = 0.05

# A PID namespace for each container, as a kubelet asks unless a pod shares them. (In a shared one
# libcontainer 0.6 on cgroup v1 looks for its own, inner PID in the node's /proc: no such process.)
_NAMESPACES = {2: 1}

RUNNING = 1
EXITED = 2


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """What CRI says about a container.

    Attributes:
        state: RUNNING, EXITED, or 0 (created) and 3 (unknown).
        exit_code: Of one that exited.
    """

    state: int
    exit_code: int


class CriError(errors.NodeError):
    """containerd refused a call; the message is its own."""


class Client:
    """The node's CRI."""

    def __init__(self, node: nodes.Node) -> None:
        self._process = subprocess.Popen(
            [*shell.command(node.name, env=_PYTHON), "python3", "-c", _CLIENT, nodes.SOCKET],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def call(self, method: str, request: wire.Message) -> bytes:
        """Make a call of the runtime service.

        Raises:
            CriError: containerd refused it, or the node died.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{method} {wire.encode(request).hex()}\n")
        self._process.stdin.flush()
        outcome, _, answer = self._process.stdout.readline().strip().partition(" ")
        if outcome != "ok":
            raise CriError(f"{method}: {answer or 'the node is gone'}")
        return bytes.fromhex(answer)

    def close(self) -> None:
        """End the process in the node."""
        self._process.communicate(timeout=30)


@dataclasses.dataclass(frozen=True, slots=True)
class Pod:
    """A running sandbox."""

    node: nodes.Node
    cri: Client
    id: str
    config: wire.Message

    @property
    def ip(self) -> str:
        """Return its address, which the node reaches."""
        return wire.text(self.cri.call("PodSandboxStatus", {1: self.id}), 1, 5, 1)

    @property
    def is_ready(self) -> bool:
        """Tell whether CRI takes the sandbox for alive."""
        ready = 0
        return wire.number(self.cri.call("PodSandboxStatus", {1: self.id}), 1, 3) == ready

    def run(
        self, image: str, *, name: str = "main", args: collections.abc.Sequence[str] = ()
    ) -> str:
        """Create and start a container; return its id."""
        config = {
            1: {1: name},
            2: {1: image},
            4: list(args),
            10: [{1: "io.kubernetes.container.name", 2: name}],
            11: f"{name}.log",
            15: {2: {3: _NAMESPACES}},
        }
        created = self.cri.call("CreateContainer", {1: self.id, 2: config, 3: self.config})
        container = wire.text(created, 1)
        self.cri.call("StartContainer", {1: container})
        return container

    def state(self, container: str) -> State:
        """Ask for a container's state."""
        said = self.cri.call("ContainerStatus", {1: container})
        return State(wire.number(said, 1, 3), wire.number(said, 1, 7))

    def wait_exit(self, container: str, *, timeout_s: float = 20.0) -> int:
        """Wait until a container has exited and return its exit code."""
        deadline = time.monotonic() + timeout_s
        while (now := self.state(container)).state != EXITED:
            assert time.monotonic() < deadline, f"{container} is still in state {now.state}"
            time.sleep(_POLL_S)
        return now.exit_code

    def stop(self, container: str, *, grace_s: int = 10) -> None:
        """Send SIGTERM, and SIGKILL after the grace period."""
        self.cri.call("StopContainer", {1: container, 2: grace_s})

    def log(self, name: str = "main") -> str:
        """Return what a container wrote, both streams, without CRI's time stamps."""
        path = f"{self.log_directory}/{name}.log"
        lines = self.node.exec(["cat", path], check=False).stdout.splitlines()
        return "\n".join(line.split(" ", 3)[3] for line in lines)

    def wait_log(self, what: str, *, name: str = "main", timeout_s: float = 20.0) -> None:
        """Wait until a container has written something."""
        deadline = time.monotonic() + timeout_s
        while what not in (said := self.log(name)):
            assert time.monotonic() < deadline, f"no {what!r} in the log: {said!r}"
            time.sleep(_POLL_S)

    @property
    def log_directory(self) -> str:
        """Return where the node keeps this pod's logs."""
        return str(self.config[3])


@contextlib.contextmanager
def sandbox(node: nodes.Node, name: str, *, handler: str) -> collections.abc.Iterator[Pod]:
    """Run a sandbox; stop and remove it, with its containers, when the block ends."""
    uid = uuid.uuid4().hex
    config = {
        1: {1: name, 2: uid, 3: "default"},
        3: f"{_LOGS}/{name}-{uid[:8]}",
        7: [{1: "io.kubernetes.pod.name", 2: name}],
        8: {2: {1: _NAMESPACES}},
    }
    node.exec(["mkdir", "-p", str(config[3])])
    cri = Client(node)
    try:
        request = {1: config, 2: handler}
        pod = Pod(node, cri, wire.text(cri.call("RunPodSandbox", request), 1), config)
        try:
            yield pod
        finally:
            cri.call("StopPodSandbox", {1: pod.id})
            cri.call("RemovePodSandbox", {1: pod.id})
    finally:
        cri.close()
