"""The agent in a pod without rights: made through CRI as kubelet makes the DaemonSet's.

    with agent_pod.started(host) as pod:
        pod.run("apply", "-f", "/run/rcm/shims.yaml")

All capabilities dropped, read-only root, seccomp RuntimeDefault, and of the host only the five
mounts of the DaemonSet. The image is the pause image: what Python needs is mounted from the node.
"""

import collections.abc
import contextlib
import dataclasses
import shlex
import time

from tests.containerd import support
from tests.testbed import pause
from tests.workloads import pods

HOST_MOUNTS = {
    "/etc/containerd": False,
    "/opt/rcm": False,
    "/run/rcm": False,
    "/run/containerd": True,
    "/run/systemd/private": True,
}
"""Path, and whether it is read-only."""
_TOKENS = "/var/run/secrets/kubernetes.io/serviceaccount"
_OUT = "/srv/agent-pod"
_PYTHON = {
    "/usr": "/usr",
    "/usr/bin": "/bin",
    "/usr/lib": "/lib",
    "/usr/lib64": "/lib64",
    "/srv/rcm": "/srv/rcm",
    "/srv/rcm-deps": "/srv/rcm-deps",
    f"{_OUT}/tokens": _TOKENS,
}
_CACHE = "/var/cache/rcm-pycache"
_RUN = """
while :; do
  until [ -e /out/command ]; do sleep 0.05; done
  mv /out/command /out/running
  sh /out/running >/out/stdout 2>/out/stderr </dev/null
  echo $? >/out/code.new
  mv /out/code.new /out/code
done
"""


@dataclasses.dataclass(frozen=True, slots=True)
class AgentPod:
    """A pod that does what it is told by files, as an exec would end with containerd."""

    host: support.Host
    pod: pods.Pod

    def run(self, *arguments: str, timeout_s: float = 120) -> support.Outcome:
        """Run the agent in the pod."""
        code, out, err = self.sh(
            shlex.join(["python3", "-P", "-m", "rcm_agent", *arguments]), timeout_s=timeout_s
        )
        return support.Outcome.of(code, out, err)

    def python(self, script: str, *, timeout_s: float = 60) -> str:
        """Run a script in the pod and return what it printed."""
        code, out, err = self.sh(shlex.join(["python3", "-P", "-c", script]), timeout_s=timeout_s)
        assert code == 0, err
        return out

    def sh(self, command: str, *, timeout_s: float = 60) -> tuple[int, str, str]:
        """Run a line of shell in the pod."""
        node = self.host.node
        node.exec(["rm", "-f", f"{_OUT}/out/code"])
        node.write(f"{_OUT}/out/command", f"{command}\n".encode())
        deadline = time.monotonic() + timeout_s
        while not node.exists(f"{_OUT}/out/code"):
            assert time.monotonic() < deadline, node.read(f"{_OUT}/out/stderr").decode()
            time.sleep(0.05)
        found = (node.read(f"{_OUT}/out/{name}").decode() for name in ("code", "stdout", "stderr"))
        code, out, err = found
        return int(code), out, err


@contextlib.contextmanager
def started(host: support.Host) -> collections.abc.Iterator[AgentPod]:
    """Start a pod, and remove it."""
    directories = ["/opt/rcm", "/run/rcm", f"{_OUT}/out", f"{_OUT}/tokens", _CACHE]
    host.node.exec(["mkdir", "-p", *directories])
    try:
        with pods.sandbox(host.node, "agent", handler="runc") as pod:
            _container(pod)
            yield AgentPod(host, pod)
    finally:
        host.node.exec(["rm", "-rf", _OUT])


def _container(pod: pods.Pod) -> str:
    own = {
        **{path: (path, read_only) for path, read_only in HOST_MOUNTS.items()},
        **{inside: (path, True) for path, inside in _PYTHON.items()},
        "/out": (f"{_OUT}/out", False),
        _CACHE: (_CACHE, False),
    }
    env = {"PYTHONPATH": "/srv/rcm:/srv/rcm-deps", "PYTHONPYCACHEPREFIX": _CACHE}
    config = {
        1: {1: "agent"},
        2: {1: pause.REF},
        3: ["/bin/sh", "-c", _RUN],
        6: [{1: key, 2: value} for key, value in {**env, "PATH": "/usr/bin:/bin"}.items()],
        7: [{1: inside, 2: path, 3: int(ro)} for inside, (path, ro) in own.items()],
        11: "agent.log",
        # Capabilities, namespaces, uid 0, read-only root, no new privileges; seccomp's default.
        15: {2: {1: {2: ["ALL"]}, 3: {2: 1}, 5: {1: 0}, 7: 1, 11: 1, 15: {1: 0}}},
    }
    created = pod.cri.call("CreateContainer", {1: pod.id, 2: config, 3: pod.config})
    container = pods.wire.text(created, 1)
    pod.cri.call("StartContainer", {1: container})
    return container
