"""Wasm servers answer every request while their shim is replaced below them on all nodes."""

import collections.abc
import contextlib
import http.client
import threading

import pytest

from tests.e2e import objects, processes, support
from tests.testbed import shims
from tests.workloads import components

pytestmark = [
    pytest.mark.node,
    pytest.mark.real,
    pytest.mark.timeout(400),
]

WEB = "rcm.test/serving-web:1"
BODY = "served by WebAssembly\n"
PORT = 8080
REPLICAS = 6
OLD, NEW = "v0.1.0", "v0.2.0"
# A first start compiles the guest; on a busy machine many do at once.
START_S = 180.0
REQUEST_S = 10.0
PAUSE_S = 0.02
PROBE = {"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 1, "timeoutSeconds": 5}


class Visitor:
    """Asks every server again and again, each time on a new connection.

    Attributes:
        answers: How many requests were answered as they should be.
        failures: What went wrong, with the address.
    """

    def __init__(self, addresses: collections.abc.Iterable[str]) -> None:
        self.answers: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._visit, args=(a,)) for a in addresses]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _visit(self, address: str) -> None:
        while not self._stop.wait(PAUSE_S):
            try:
                self._ask(address)
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failures.append(f"{address}: {error!r}")

    def _ask(self, address: str) -> None:
        with contextlib.closing(
            http.client.HTTPConnection(address, PORT, timeout=REQUEST_S)
        ) as server:
            server.request("GET", "/")
            answer = server.getresponse()
            assert (answer.status, answer.read().decode()) == (200, BODY)
        self.answers[address] += 1


@contextlib.contextmanager
def visited(addresses: collections.abc.Iterable[str]) -> collections.abc.Iterator[Visitor]:
    visitor = Visitor(addresses)
    visitor.start()
    try:
        yield visitor
    finally:
        visitor.stop()


def web() -> objects.Document:
    """Return a Deployment of servers that are spread over the nodes."""
    found = objects.deployment(
        "web", WEB, replicas=REPLICAS, runtime_class="wasmtime", readinessProbe=PROBE
    )
    found["spec"]["template"]["spec"]["topologySpreadConstraints"] = [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "web"}},
        }
    ]
    return found


def shim_files(product: support.Product, pods: list[support.Document]) -> dict[str, str]:
    """Return the binary that runs each Pod, by the Pod's name."""
    return {pod["metadata"]["name"]: processes.binary(product.node_of(pod), pod) for pod in pods}


def test_servers_answer_every_request_while_their_shim_is_replaced(
    product: support.Product,
) -> None:
    product.import_guest(WEB, components.http_server(BODY))
    product.apply(product.shim("wasmtime", OLD))
    product.wait_ready("wasmtime")
    product.apply(web())
    pods = product.wait_available("web", REPLICAS, timeout_s=START_S)
    addresses = {pod["status"]["podIP"] for pod in pods}
    before, containers, old = product.look(), product.all_containers(), shim_files(product, pods)

    with visited(addresses) as visitor:
        product.wait("first answers", lambda: len(visitor.answers) == REPLICAS)
        product.apply(product.shim("wasmtime", NEW))
        product.wait_ready("wasmtime")
        product.cluster.kubectl("scale", "deployment/web", f"--replicas={REPLICAS + 3}")
        more = product.wait_available("web", REPLICAS + 3, timeout_s=START_S)
        served = visitor.answers.total()
        product.wait("answers afterwards", lambda: visitor.answers.total() > served + REPLICAS)
    after, now = product.look(), shim_files(product, more)

    assert visitor.failures == []
    assert visitor.answers.keys() == addresses
    assert {pod["spec"]["nodeName"] for pod in pods} == set(product.cluster.nodes)
    for name in product.cluster.nodes:
        assert after[name].containerd == before[name].containerd
        assert after[name].starts == before[name].starts
        assert after[name].config == before[name].config
        assert before[name].processes.items() <= after[name].processes.items()
        assert product.entry(name, "wasmtime")["version"] == NEW.removeprefix("v")
    assert containers.items() <= product.all_containers().items()
    assert restarts(more) == 0
    # The new ones run the new version; those of before keep theirs.
    assert old.items() <= now.items()
    assert set(old.values()) == {stored(product, OLD)}
    assert {now[name] for name in now.keys() - old.keys()} == {stored(product, NEW)}


def stored(product: support.Product, variant: str) -> str:
    """Return where nodes keep a version."""
    return f"/opt/rcm/store/sha256/{product.release(variant).sha256}/{shims.BINARY}"


def restarts(pods: list[support.Document]) -> int:
    return sum(each["restartCount"] for pod in pods for each in pod["status"]["containerStatuses"])
