"""A small cluster for the controller's process: real API server, nodes that are only objects."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import msgspec
import urllib3

from rcm_api import names, noderuntime
from rcm_api.client import api, credentials, errors, http, reflector, resources
from tests.controller_run import objects
from tests.fakes import agents, standin
from tests.testbed import controlplane

LABEL = names.ready_label("spin-v2")
ROOT = pathlib.Path(__file__).parents[2]


def client(plane: controlplane.ControlPlane) -> api.Client:
    logins = credentials.Kubeconfig(str(plane.kubeconfig))
    return api.Client(http.Http(logins, agent="test"), manager="test")


def install(plane: controlplane.ControlPlane, asks: api.Client) -> None:
    """Install our kinds, and wait until the server serves them."""
    plane.kubectl("apply", "--server-side", "-f", str(ROOT / "manifests" / "crd"))
    for resource in (resources.SHIMS, resources.NODERUNTIMES):
        until(lambda kind=resource: served(asks, kind), "our kinds are served")


def served(asks: api.Client, resource: resources.Resource) -> bool:
    try:
        asks.list(resource, decode=api.ignore)
    except errors.NotFound:
        return False
    return True


def until(true: Callable[[], object], what: str, *, seconds: float = 30.0) -> float:
    """Wait until something is so; return the seconds that it took."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)
    return time.monotonic() - began


class Cluster:
    """Nodes with agents, and what a test asks about them."""

    def __init__(
        self, plane: controlplane.ControlPlane, *, count: int, apply_s: float = 0.3
    ) -> None:
        self.plane = plane
        self.asks = client(plane)
        install(plane, self.asks)
        self.names = [f"worker-{n}" for n in range(count)]
        made = [
            self.asks.create(resources.NODES, objects.node(name), decode=_MADE)
            for name in self.names
        ]
        quick = standin.Behaviour(fetch_s=0.1, apply_s=apply_s)
        behaviours = {standin.content(objects.URL.format(n)): quick for n in range(1, 9)}
        self.agents = agents.Agents(
            self.asks,
            [
                standin.NodeState(name, uid=found.metadata.uid, behaviours=behaviours)
                for name, found in zip(self.names, made, strict=True)
            ],
        )

    @contextlib.contextmanager
    def alive(self) -> Iterator[None]:
        """Let the agents work."""
        stop = threading.Event()
        moves = http.Http(credentials.Kubeconfig(str(self.plane.kubeconfig)), agent="agents")
        follower = reflector.Reflector(
            api.Client(moves, manager="agents"),
            reflector.Source(resources.NODERUNTIMES),
            self.agents,
            now=time.monotonic,
            random=random.random,
        )
        thread = threading.Thread(target=follower.run, args=(stop,), daemon=True)
        thread.start()
        try:
            with self.agents.running(threads=2):
                yield
        finally:
            stop.set()
            moves.close()
            thread.join()

    def apply(self, document: dict[str, object]) -> None:
        """Apply a Shim as a user does."""
        self.plane.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(document))

    def shim(self) -> dict[str, object]:
        return self.asks.get(resources.SHIMS, "spin-v2", decode=api.document)

    def condition(self, kind: str) -> str:
        """Return `status reason` of the Shim's condition."""
        found = self.shim().get("status", {}).get("conditions", ())
        return next((f"{c['status']} {c['reason']}" for c in found if c["type"] == kind), "")

    def ready(self) -> bool:
        """Tell whether the Shim says so, and all nodes are labelled."""
        found = self.shim()
        status = found.get("status", {})
        current = status.get("observedGeneration") == found["metadata"]["generation"]
        proven = current and self.condition("Ready").startswith("True")
        return proven and status["nodesReady"] == len(self.names) == self.labelled()

    def labelled(self) -> int:
        found = self.asks.list(resources.NODES, decode=api.document)
        return sum(n["metadata"].get("labels", {}).get(LABEL) == names.READY for n in found)

    def runtimes(self) -> tuple[noderuntime.NodeRuntime, ...]:
        return self.asks.list(resources.NODERUNTIMES, decode=noderuntime.parse)

    def asked(self) -> int:
        """Return how many nodes are asked to be active."""
        return sum(s.phase == "Active" for r in self.runtimes() for s in r.spec.shims)

    def holder(self) -> str:
        try:
            found = self.asks.get(
                resources.LEASES, "rcm-controller", namespace="default", decode=api.document
            )
        except errors.NotFound:
            return ""
        return found["spec"].get("holderIdentity") or ""


class _Made(msgspec.Struct):
    metadata: noderuntime.Metadata


_MADE = msgspec.json.Decoder(_Made).decode


class Process:
    """A controller's process."""

    def __init__(
        self, plane: controlplane.ControlPlane, name: str, *flags: str, login: pathlib.Path
    ) -> None:
        self.name = name
        self.log = plane.directory / f"controller-{name}-{time.monotonic_ns()}.log"
        with self.log.open("wb") as stream:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    *("-m", "rcm_controller", "--kubeconfig", str(login)),
                    *("--metrics-address", "127.0.0.1:0", "--lease-namespace", "default"),
                    *("--identity", name),
                    *flags,
                ],
                stderr=stream,
                cwd=ROOT,
                env={k: v for k, v in os.environ.items() if not k.startswith("RCM_")},
            )

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def port(self) -> int:
        until(lambda: any(x["message"] == "started" for x in self.lines()), "the process starts")
        return next(x["metrics_port"] for x in self.lines() if x["message"] == "started")

    def get(self, page: str) -> str:
        address = f"http://127.0.0.1:{self.port()}{page}"
        return urllib3.request("GET", address, retries=False, timeout=5.0).data.decode()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=10)


@contextlib.contextmanager
def controller(
    plane: controlplane.ControlPlane, name: str, *flags: str, login: pathlib.Path | None = None
) -> Iterator[Process]:
    """Run a controller until the end of the block, or until the test ends it."""
    process = Process(plane, name, *flags, login=login or plane.kubeconfig)
    try:
        yield process
    finally:
        process.kill()
        print(f"--- {name}\n{process.log.read_text()[-8000:]}")
