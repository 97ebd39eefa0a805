"""The nodes: their kubelets, their stand-in agents, and what befalls them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from rcm_api import noderuntime
from rcm_controller import views
from tests.fakes import standin
from tests.simulation.cluster import Cluster
from tests.simulation.scheduler import Scheduler

NOTICE_S = 40.0
"""node-monitor-grace-period: a silent node is NotReady after it."""
COLLECT_S = 5.0
"""The garbage collector deletes a NodeRuntime whose Node is gone, sooner or later; a guess."""
NODE_SKEWS_S = (0, 0, 0, -200, 300)
"""How far the clocks of nodes are off."""


@dataclass(slots=True)
class Machine:
    """One machine; another one may get its name later."""

    state: standin.NodeState
    alive: bool = True
    mute: bool = False
    """The node works, but its agent does not run."""
    since: float = 0.0
    """When it was last back."""
    planned: float | None = None
    writing: bool = False


class Fleet:
    """All machines by node name."""

    def __init__(self, cluster: Cluster, scheduler: Scheduler) -> None:
        self.cluster, self.scheduler = cluster, scheduler
        self.machines: dict[str, Machine] = {}
        self.behaviours: dict[str, standin.Behaviour] = {}
        self.slow_writes = 0.5
        self.lost_writes = 0.02
        self.tried: Callable[[standin.NodeState, standin.Entry], None] = lambda _node, _entry: None
        self.joined = 0
        self.forged: set[tuple[str, str]] = set()
        """Nodes and label keys that somebody else has written."""

    def join(
        self, name: str, facts: noderuntime.Facts, labels: Mapping[str, str], *, supported: bool
    ) -> None:
        """Add a machine that is Ready."""
        self.joined += 1
        skew = timedelta(seconds=self.scheduler.random.choice(NODE_SKEWS_S))
        state = standin.NodeState(
            name=name,
            uid=f"{name}-{self.joined}",
            facts=facts,
            supported=supported,
            skew=skew,
            behaviours=self.behaviours,
        )
        self.machines[name] = Machine(state)
        self._register(name, labels)

    def _register(self, name: str, labels: Mapping[str, str]) -> None:
        state = self.machines[name].state
        view = views.NodeView(
            name=name,
            uid=state.uid,
            os="linux",
            arch=state.facts.arch,
            labels=labels,
            ready=True,
            ready_changed=self.cluster.time(),
        )
        self.cluster.put("nodes", name, view)
        self.look(name, self.scheduler.random.uniform(0.1, 5))

    def leave(self, name: str) -> None:
        """Take a machine away, as an autoscaler does; what it owns is collected later."""
        uid = self.machines.pop(name).state.uid
        self.cluster.drop("nodes", name)
        delay = self.scheduler.random.uniform(0, 2 * COLLECT_S)
        self.scheduler.after(delay, functools.partial(self._collect, name, uid))

    def _collect(self, name: str, uid: str) -> None:
        runtime, node = self.cluster.runtimes.get(name), self.cluster.nodes.get(name)
        gone = node is None or node.uid != uid
        if gone and runtime is not None and runtime.spec.node_uid == uid:
            self.cluster.drop("runtimes", name)

    def replace(self, name: str, *, wiped: bool) -> None:
        """Register a node anew: its Node has another UID, its disk may be another one too."""
        node, machine = self.cluster.nodes[name], self.machines[name]
        kept = {k: v for k, v in node.labels.items() if "node-restriction" not in k}
        former = machine.state
        self.leave(name)
        self.joined += 1
        uid = f"{name}-{self.joined}"
        begin = standin.wipe if wiped else standin.register
        self.machines[name] = Machine(begin(former, uid), since=self.cluster.now)
        self._register(name, kept)

    def die(self, name: str) -> None:
        """Cut the power; Kubernetes notices later."""
        machine = self.machines[name]
        machine.alive = False
        self.scheduler.after(NOTICE_S, functools.partial(self._notice, name, machine))

    def _notice(self, name: str, machine: Machine) -> None:
        if self.machines.get(name) is machine and not machine.alive:
            self.set_ready(name, ready=False)

    def revive(self, name: str) -> None:
        """Start a dead machine, or an agent that was away."""
        machine = self.machines[name]
        machine.since = self.cluster.now
        machine.alive, machine.mute = True, False
        machine.state = standin.restart(machine.state, self.cluster.time())
        self.set_ready(name, ready=True)
        self.look(name, 1.0)

    def set_ready(self, name: str, *, ready: bool) -> None:
        """Change the condition Ready, as a flapping kubelet does."""
        node = self.cluster.nodes[name]
        if node.ready is not ready:
            changed = msgspec.structs.replace(node, ready=ready, ready_changed=self.cluster.time())
            self.cluster.put("nodes", name, changed)

    def change(self, name: str, **fields: Any) -> None:
        """Change what the agent finds on its host."""
        machine = self.machines[name]
        machine.state = msgspec.structs.replace(machine.state, **fields)
        self.look(name, 0.1)

    def look(self, name: str, delay: float) -> None:
        """Have an agent look at its object soon."""
        machine, at = self.machines.get(name), self.cluster.now + delay
        if machine is None or (machine.planned is not None and machine.planned <= at):
            return
        machine.planned = at
        self.scheduler.after(delay, functools.partial(self._step, name, machine, at))

    def _step(self, name: str, machine: Machine, at: float) -> None:
        if machine.planned != at or self.machines.get(name) is not machine:
            return
        machine.planned = None
        runtime = self.cluster.runtimes.get(name)
        if runtime is None or not machine.alive or machine.mute or machine.writing:
            return
        former, now = machine.state, self.cluster.time()
        machine.state, status = standin.step(former, runtime, now)
        self._tell_trials(former, machine.state)
        if status is not None:
            self._write(machine, runtime.metadata.uid, status)
        next_time = standin.due(machine.state, now)
        if next_time is not None:
            self.look(name, max(0.0, (next_time - now).total_seconds()))

    def _tell_trials(self, former: standin.NodeState, state: standin.NodeState) -> None:
        for name, entry in state.entries.items():
            before = former.entries.get(name)
            if entry.work == "apply" and (before is None or before.work != "apply"):
                self.tried(state, entry)

    def _write(self, machine: Machine, uid: str, status: noderuntime.Status) -> None:
        """Write now or a little later: the object may be another one by then."""
        done = functools.partial(self._written, machine, uid, status)
        if self.scheduler.chance(self.slow_writes):
            machine.writing = True
            self.scheduler.after(self.scheduler.random.uniform(0, 1.5), done)
        else:
            done()

    def _written(self, machine: Machine, uid: str, status: noderuntime.Status) -> None:
        machine.writing = False
        name = machine.state.name
        lost = self.scheduler.chance(self.lost_writes)
        if machine.alive and self.machines.get(name) is machine and not lost:
            self.cluster.write_status(name, uid, status)
        self.look(name, 1.0)
