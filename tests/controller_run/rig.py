"""Controllers, a model of the API server and stand-in agents on one thread, in simulated time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from rcm_api import names, noderuntime
from rcm_api.client import api, reflector, resources
from rcm_controller import leader, loop, metrics, rollout, store, world
from rcm_controller.actions import Action
from tests.controller_run import objects
from tests.fakes import standin
from tests.fakes.apiserver import faulty, model

TICK_S = 0.05
FEW = 200
"""Steps that a watch may take at one moment."""


class Clock:
    """One machine's; `skew` is its wall clock's error."""

    def __init__(self, rig: Rig, skew: timedelta = timedelta()) -> None:
        self._rig = rig
        self.skew = skew

    def now(self) -> datetime:
        return model.EPOCH + timedelta(seconds=self._rig.now) + self.skew

    def monotonic(self) -> float:
        return self._rig.now


class Replica:
    """A controller's process without its threads."""

    def __init__(self, rig: Rig, name: str, *, decide: loop.Decide, elect: bool) -> None:
        self.name = name
        self.alive = True
        """Set to False: killed, or stopped for a while."""
        self._elect = elect
        self.told = metrics.Metrics()
        self.moves = faulty.Faulty(rig.server)
        self.clock = Clock(rig)
        self.caches = store.Store(told=self.told)
        self.client = api.Client(self.moves, manager=names.MANAGER)
        chance = random.Random(name).random  # noqa: S311 - the same each time
        self.elector = leader.Elector(
            self.client, namespace="default", name="lease", identity=name, time=self.clock
        )
        self.controller = loop.Controller(
            loop.Means(
                client=self.client,
                caches=self.caches,
                leadership=self.elector if elect else leader.Alone(),
                time=self.clock,
                random=chance,
                told=self.told,
                decide=decide,
                policy=world.Policy(),
                writes_per_s=rig.writes_per_s,
            )
        )
        kinds: Mapping[resources.Resource, reflector.Sink] = {
            resources.SHIMS: self.caches.shims,
            resources.NODES: self.caches.nodes,
            resources.NODERUNTIMES: self.caches.runtimes,
            resources.RUNTIMECLASSES: self.caches.classes,
        }
        self.followers = {
            resource: reflector.Reflector(
                self.client,
                reflector.Source(resource),
                sink,
                now=self.clock.monotonic,
                random=chance,
            )
            for resource, sink in kinds.items()
        }
        self._steps = {r: f.steps() for r, f in self.followers.items()}
        self._due = dict.fromkeys((*kinds, "lease", "plan", "write"), 0.0)

    def go(self, now: float) -> None:
        """Do everything that is due."""
        if not self.alive:
            return
        if self._elect:
            self._turn("lease", now, self.elector.step)
        for resource, steps in self._steps.items():
            self._watch(resource, steps, now)
        self._due["plan"] = min(self._due["plan"], now + self.controller.pause())
        self._turn("plan", now, self.controller.step)
        while self.controller.work() == 0.0:
            pass

    def _watch(self, resource: resources.Resource, steps: Iterator[float], now: float) -> None:
        for _ in range(FEW):
            if self._due[resource] > now:
                return
            self._due[resource] = now + next(steps)

    def _turn(self, what: str, now: float, step: Callable[[], float]) -> None:
        if self._due[what] <= now:
            self._due[what] = now + step()


class Rig:
    """A cluster."""

    def __init__(self, *, nodes: int = 3, elect: bool = False, writes_per_s: float = 50.0) -> None:
        self.now = 0.0
        self.writes_per_s = writes_per_s
        self.server = model.Server(now=lambda: self.now)
        self.server.namespaces.add("default")
        self.user = api.Client(self.server, manager="user")
        self.replicas: list[Replica] = []
        self.elect = elect
        self.states: dict[str, standin.NodeState] = {}
        self.agents_live = True
        for n in range(nodes):
            self.add_node(f"worker-{n}")

    def replica(self, name: str, decide: loop.Decide = rollout.plan) -> Replica:
        found = Replica(self, name, decide=decide, elect=self.elect)
        self.replicas.append(found)
        return found

    def add_node(self, name: str) -> None:
        made = self.user.create(resources.NODES, objects.node(name), decode=api.document)
        self.states[name] = standin.NodeState(
            name, uid=made["metadata"]["uid"], behaviours=objects.QUICK
        )

    def apply(self, document: Mapping[str, Any]) -> None:
        """Create or replace a Shim's spec, as a user does."""
        name = document["metadata"]["name"]
        if self.server.document(resources.SHIMS, name) is None:
            self.user.create(resources.SHIMS, document, decode=api.ignore)
        else:
            patch = api.Patch({"spec": document["spec"]})
            self.user.patch(resources.SHIMS, name, patch, decode=api.ignore)

    def run(self, seconds: float, *, until: Callable[[], object] = lambda: False) -> bool:
        """Let time pass, at most until something is so; whether it is."""
        end = self.now + seconds
        while self.now < end:
            for replica in self.replicas:
                replica.go(self.now)
            self._agents()
            if until():
                return True
            self.now += TICK_S
        return bool(until())

    def shim(self, name: str = "spin-v2") -> Mapping[str, Any]:
        found = self.server.document(resources.SHIMS, name)
        assert found is not None
        return found

    def condition(self, kind: str, name: str = "spin-v2") -> str:
        """Return `status reason` of a Shim's condition."""
        found = self.shim(name).get("status", {}).get("conditions", ())
        return next((f"{c['status']} {c['reason']}" for c in found if c["type"] == kind), "")

    def ready(self) -> bool:
        """Tell whether the Shim says so, and all nodes are labelled."""
        status = self.shim().get("status", {})
        current = status.get("observedGeneration") == self.shim()["metadata"]["generation"]
        counted = status.get("nodesReady") == status.get("nodes") == len(self.states)
        proven = current and counted and self.condition("Ready").startswith("True")
        return proven and self.labelled() == set(self.states)

    def labelled(self) -> set[str]:
        key = names.ready_label("spin-v2")
        return {
            d["metadata"]["name"]
            for d in self.server.documents(resources.NODES)
            if d["metadata"].get("labels", {}).get(key) == names.READY
        }

    def runtimes(self) -> list[noderuntime.NodeRuntime]:
        found = self.server.documents(resources.NODERUNTIMES)
        return [noderuntime.parse(msgspec.json.encode(d)) for d in found]

    def _agents(self) -> None:
        if not self.agents_live:
            return
        now = model.EPOCH + timedelta(seconds=self.now)
        for runtime in self.runtimes():
            state = self.states.get(runtime.name)
            if state is None:
                continue
            self.states[runtime.name], status = standin.step(state, runtime, now)
            if status is not None:
                empty: dict[str, object] = {"shims": [], "conditions": []}
                body = {"status": empty | msgspec.to_builtins(status)}
                patch = api.Patch(body, subresource="status")
                self.user.patch(resources.NODERUNTIMES, runtime.name, patch, decode=api.ignore)


def writes(replica: Replica) -> list[str]:
    """Return the writes of a replica as the metric counts them: `Action outcome number`."""
    found: list[str] = []
    for line in replica.told.text().decode().splitlines():
        if line.startswith("rcm_writes_total{"):
            labels, value = line.removeprefix("rcm_writes_total{").split("} ")
            action, outcome = (part.split('"')[1] for part in labels.split(","))
            found.append(f"{action} {outcome} {float(value):g}")
    return sorted(found)


def count(replica: Replica) -> float:
    """Return how many writes a replica has made."""
    return sum(float(line.rsplit(" ", 1)[1]) for line in writes(replica))


def plans(replica: Replica) -> float:
    """Return how often a replica has planned."""
    return replica.told.registry.get_sample_value("rcm_plan_seconds_count") or 0.0


def nothing(_world: world.World) -> tuple[Action, ...]:
    """Decide nothing."""
    return ()
