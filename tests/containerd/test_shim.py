"""The reference shim on real nodes: its guests run, and its servers outlive containerd.

The shim is installed as a person would do it by hand: the agent has no part here.
"""

import collections.abc
import contextlib
import dataclasses
import json
import os

import pytest

from tests.containerd.support import LEAK
from tests.testbed import containerd, fixtures, image, nodes, shims
from tests.workloads import components, images, modules, pods

pytestmark = [pytest.mark.node, pytest.mark.timeout(120)]

# 1.6 keeps containers of every shim; later releases ask for Pids.
_ASKING_VERSIONS = ("1.7", "2.1", "2.3")
_RESTARTS = 3
_SHIM = "/opt/shims/containerd-shim-wasmtime-v1"
_STOP_FILE = "/run/stop-probing"
_HANDLER = "wasmtime"

# An absolute path as the type, because containerd 1.6.20 reads `runtime_path` and does not use it.
_TABLE = """
[plugins."{plugin}".containerd.runtimes.{handler}]
  runtime_type = "{path}"
"""

# One connection for each request, as a client behind a Service has it, until told to stop. The
# server runs in the same node, so an answer that takes a second counts as none.
_PROBE = """
import http.client, json, os, sys, time
address, expected, stop_file = sys.argv[1:]
answered, failures, slowest = 0, [], 0.0
print("started", flush=True)
while not os.path.exists(stop_file):
    begin = time.monotonic()
    try:
        connection = http.client.HTTPConnection(address, 8080, timeout=1)
        connection.request("GET", "/")
        said = connection.getresponse().read().decode()
        connection.close()
        assert said == expected, said
        answered += 1
    except Exception as error:
        failures.append(repr(error))
    slowest = max(slowest, time.monotonic() - begin)
print(json.dumps({"answered": answered, "failures": failures[:10], "slowest_s": slowest}))
"""


@pytest.fixture(scope="module")
def built_shims(testbed: None) -> None:  # noqa: ARG001 -- it may skip
    if shims.is_built():
        return
    reason = "the shim is not built yet: run `python -m tests.testbed build shims`"
    if os.environ.get("RCM_TESTBED") == "required":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="module", params=fixtures.NODE_VERSIONS)
def shared_node(
    request: pytest.FixtureRequest,
    built_shims: None,  # noqa: ARG001 -- it may skip
) -> collections.abc.Iterator[nodes.Node]:
    with _node(request.param, variant="v0.1.0") as node:
        yield node


@pytest.fixture
def node(request: pytest.FixtureRequest, shared_node: nodes.Node) -> nodes.Node:
    _count(request, shared_node.containerd)
    return shared_node


@pytest.fixture(params=_ASKING_VERSIONS)
def unpatched_node(
    request: pytest.FixtureRequest,
    built_shims: None,  # noqa: ARG001 -- it may skip
) -> collections.abc.Iterator[nodes.Node]:
    _count(request, request.param)
    with _node(request.param, variant="v0.1.0-nopids") as node:
        yield node


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    answered: int
    failures: list[str]
    slowest_s: float


def test_a_module_prints_and_exits(node: nodes.Node) -> None:
    with _pod(node, modules.say("hello\n", exit_code=7)) as (pod, container):
        assert pod.wait_exit(container) == 7
        assert pod.log() == "hello"


def test_a_command_component_prints_and_exits(node: nodes.Node) -> None:
    with _pod(node, components.command("hello\n")) as (pod, container):
        assert pod.wait_exit(container) == 0
        assert pod.log() == "hello"


def test_a_command_component_reports_its_failure(node: nodes.Node) -> None:
    with _pod(node, components.command("oh\n", succeed=False)) as (pod, container):
        assert pod.wait_exit(container) == 1


def test_a_trap_is_told_in_the_containers_log(node: nodes.Node) -> None:
    with _pod(node, modules.trap("oh\n")) as (pod, container):
        assert pod.wait_exit(container) == 134
        assert "wasm trap: wasm `unreachable` instruction executed" in pod.log()


def test_what_is_no_guest_is_told_in_the_containers_log(node: nodes.Node) -> None:
    empty_component = b"\0asm\x0d\0\1\0"
    with _pod(node, empty_component) as (pod, container):
        assert pod.wait_exit(container) == 126
        assert "build it for the world wasi:cli/command or wasi:http/proxy" in pod.log()


def test_a_layer_image_runs_and_is_compiled_once(node: nodes.Node) -> None:
    if node.containerd == "1.6":
        pytest.skip("containerd 1.6 refuses images of Wasm layers")
    node.import_image(images.artifact("rcm.test/layer:1", modules.say("hello\n")))
    with pods.sandbox(node, "layer", handler=_HANDLER) as pod:
        assert pod.wait_exit(pod.run("rcm.test/layer:1", name="first")) == 0
        compiled = node.ctr("content", "list", "--quiet").stdout

        assert pod.wait_exit(pod.run("rcm.test/layer:1", name="second")) == 0

        assert pod.log("second") == "hello"
        assert compiled == node.ctr("content", "list", "--quiet").stdout
    assert "runwasi.io/precompiled/wasmtime/" in node.ctr("content", "list").stdout


@pytest.mark.parametrize(
    "guest",
    [
        pytest.param(modules.say_and_stay("here\n"), id="one that sleeps"),
        pytest.param(modules.spin("here\n"), id="one that computes"),
    ],
)
def test_a_guest_ends_at_sigterm(node: nodes.Node, guest: bytes) -> None:
    with _pod(node, guest) as (pod, container):
        pod.wait_log("here")

        pod.stop(container, grace_s=60)

        assert pod.state(container) == pods.State(pods.EXITED, 128 + 15)


def test_a_server_ends_well_at_sigterm(node: nodes.Node) -> None:
    with _server(node) as (pod, container):
        pod.stop(container, grace_s=60)

        assert pod.state(container) == pods.State(pods.EXITED, 0)


def test_the_sandbox_and_the_guest_have_pids(node: nodes.Node) -> None:
    with _pod(node, modules.say_and_stay("here\n")) as (pod, container):
        pod.wait_log("here")

        for task in (pod.id, container):
            assert _listed_pids(node, task) == [_pid(node, task)]


def test_the_guests_output_stays_out_of_the_journal(node: nodes.Node) -> None:
    with _pod(node, modules.say("a secret\n")) as (pod, container):
        pod.wait_exit(container)

    assert "a secret" not in node.journal("containerd")


def test_a_server_answers_without_a_gap_while_containerd_restarts(node: nodes.Node) -> None:
    with _server(node, log="one request\n") as (pod, container):
        before = _processes(node, pod, container)
        leaks = node.journal("containerd").count(LEAK)

        with _probing(node, pod.ip) as probe:
            for _ in range(_RESTARTS):
                _restart(node)

        found = probe()
        assert found.failures == []
        assert found.answered > 100
        assert before == _processes(node, pod, container)
        assert pod.is_ready
        assert node.journal("containerd").count(LEAK) == leaks
        assert pod.state(container).state == pods.RUNNING
    assert _shim_processes(node) == []


def test_the_exit_of_a_guest_is_seen_after_a_restart(node: nodes.Node) -> None:
    with _pod(node, modules.say_and_stay("here\n")) as (pod, container):
        pod.wait_log("here")
        _restart(node)

        pod.stop(container, grace_s=60)

        assert pod.state(container) == pods.State(pods.EXITED, 128 + 15)


def test_the_output_goes_on_after_a_restart(node: nodes.Node) -> None:
    with _pod(node, modules.repeat("tick\n", interval_s=0.05)) as (pod, _):
        pod.wait_log("tick")
        _restart(node)
        written = pod.log()

        pod.wait_log(f"{written}\ntick")


def test_without_pids_a_restart_leaks_the_server(unpatched_node: nodes.Node) -> None:
    """The reason for the patch, and for the gate; when it fails, the library has got better."""
    node = unpatched_node
    with _server(node) as (pod, container):
        pid, server = _pid(node, container), pod.ip

        _restart(node)

        tasks = node.ctr("task", "list").stdout
        assert container not in tasks
        assert node.exists(f"/proc/{pid}"), "the process lives on, and nobody knows it"
        assert _probe_once(node, server).failures == []
    assert node.exists(f"/proc/{pid}"), "and deleting the pod does not end it"


def _count(request: pytest.FixtureRequest, version: str) -> None:
    request.node.user_properties.append(("containerd", containerd.VERSIONS[version].version))


@contextlib.contextmanager
def _node(version: str, *, variant: str) -> collections.abc.Iterator[nodes.Node]:
    plugin = "io.containerd.grpc.v1.cri" if version < "2" else "io.containerd.cri.v1.runtime"
    table = _TABLE.format(plugin=plugin, handler=_HANDLER, path=_SHIM)
    with nodes.start(
        containerd=version,
        config=image.default_config(version) + table.encode(),
        mounts={shims.build() / variant: "/opt/shims"},
    ) as node:
        yield node


@contextlib.contextmanager
def _pod(node: nodes.Node, guest: bytes) -> collections.abc.Iterator[tuple[pods.Pod, str]]:
    node.import_image(images.image("rcm.test/guest:1", guest))
    with pods.sandbox(node, "guest", handler=_HANDLER) as pod:
        yield pod, pod.run("rcm.test/guest:1")


@contextlib.contextmanager
def _server(
    node: nodes.Node, *, log: str | None = None
) -> collections.abc.Iterator[tuple[pods.Pod, str]]:
    with _pod(node, components.http_server("hello", log=log)) as (pod, container):
        waiting = f"until curl --silent --fail --output /dev/null {pod.ip}:8080; do :; done"
        node.exec(["sh", "-c", waiting], timeout_s=30)
        yield pod, container


@contextlib.contextmanager
def _probing(
    node: nodes.Node, address: str
) -> collections.abc.Iterator[collections.abc.Callable[[], Probe]]:
    """Send requests until the block ends; afterwards the yielded function tells what came back."""
    node.exec(["rm", "-f", _STOP_FILE])
    prober = node.spawn(["python3", "-c", _PROBE, address, "hello", _STOP_FILE])
    assert prober.stdout is not None
    assert prober.stdout.readline() == b"started\n"
    said: list[bytes] = []
    try:
        yield lambda: Probe(**json.loads(said[0]))
    finally:
        node.exec(["touch", _STOP_FILE])
        out, _ = prober.communicate(timeout=30)
        said.append(out)


def _probe_once(node: nodes.Node, address: str) -> Probe:
    with _probing(node, address) as probe:
        pass
    return probe()


def _restart(node: nodes.Node) -> None:
    before = node.containerd_process()
    # Tests follow each other faster than systemd lets a unit start (5 in 10 s).
    node.systemctl("reset-failed", "containerd")
    node.systemctl("restart", "containerd")
    node.wait_containerd()
    assert before != node.containerd_process()


def _processes(node: nodes.Node, pod: pods.Pod, container: str) -> dict[str, str]:
    """Return pid and start time of what must not change: the sandbox's process and the guest's."""
    pids = {task: _pid(node, task) for task in (pod.id, container)}
    return {task: f"{pid} {_start_time(node, pid)}" for task, pid in pids.items()}


def _pid(node: nodes.Node, task: str) -> int:
    rows = [line.split() for line in node.ctr("task", "list").stdout.splitlines()]
    return next(int(row[1]) for row in rows if row[0] == task)


def _start_time(node: nodes.Node, pid: int) -> str:
    return node.read(f"/proc/{pid}/stat").decode().rpartition(")")[2].split()[19]


def _listed_pids(node: nodes.Node, task: str) -> list[int]:
    rows = node.ctr("task", "ps", task).stdout.splitlines()[1:]
    return [int(row.split()[0]) for row in rows]


def _shim_processes(node: nodes.Node) -> list[str]:
    return node.exec(["pgrep", "--full", f"^{_SHIM}"], check=False).stdout.split()
