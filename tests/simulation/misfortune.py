"""What befalls nodes, controllers and the API server."""

from __future__ import annotations

import msgspec

from rcm_api import names, noderuntime
from tests.simulation.cluster import KINDS
from tests.simulation.controller import Controller
from tests.simulation.parts import ZONES, Parts

CLASSES = (
    ("amd64", "debian", "1.7.24"),
    ("amd64", "flatcar", "2.0.4"),
    ("arm64", "debian", "1.7.24"),
)
CONTROLLER_SKEWS_S = (0, 0, -300, 300, 20)
"""How far the clocks of controllers are off, until all faults are over."""


class Misfortune(Parts):
    """Each method is an event; its name says what it is."""

    def node_joins(self) -> None:
        draw = self.scheduler.random
        if len(self.fleet.machines) >= 60:
            return
        self.names += 1
        arch, distribution, containerd = draw.choices(CLASSES, (8, 3, 2))[0]
        facts = noderuntime.Facts(
            os="linux", arch=arch, distribution=distribution, containerd=containerd
        )
        labels = {"zone": draw.choice(ZONES)}
        if draw.random() < 0.15:
            labels["node-role.kubernetes.io/control-plane"] = ""
        self.fleet.join(f"n{self.names}", facts, labels, supported=draw.random() > 0.04)

    def node_leaves(self) -> None:
        name = self._node()
        if name and len(self.fleet.machines) > 2:
            self.fleet.leave(name)

    def node_dies(self) -> None:
        name = self._node()
        if name and self.fleet.machines[name].alive:
            self.fleet.die(name)

    def node_is_back(self) -> None:
        away = [n for n, m in self.fleet.machines.items() if not m.alive or m.mute]
        if away:
            self.fleet.revive(self.scheduler.random.choice(away))

    def agent_goes_away(self) -> None:
        name = self._node()
        if name:
            self.fleet.machines[name].mute = True

    def node_gets_another_uid(self) -> None:
        name = self._node()
        if name and self.fleet.machines[name].alive:
            self.fleet.replace(name, wiped=self.scheduler.chance(0.5))

    def node_flaps(self) -> None:
        name = self._node()
        if name and self.fleet.machines[name].alive:
            ready = self.cluster.nodes[name].ready
            self.fleet.set_ready(name, ready=not ready)
            if ready:
                delay = self.scheduler.random.uniform(1, 60)
                self.scheduler.after(delay, lambda: self._ready_again(name))

    def _ready_again(self, name: str) -> None:
        machine = self.fleet.machines.get(name)
        if machine is not None and machine.alive:
            self.fleet.set_ready(name, ready=True)

    def node_changes_zone(self) -> None:
        name = self._node()
        if name:
            labels = {
                **self.cluster.nodes[name].labels,
                "zone": self.scheduler.random.choice(ZONES),
            }
            self._label(name, labels)

    def ready_label_is_forged(self) -> None:
        name = self._node()
        if name:
            key = names.ready_label(self.scheduler.random.choice(("s1", "s2", "nosuch")))
            labels = dict(self.cluster.nodes[name].labels)
            if labels.pop(key, None) is None:
                labels[key] = self.scheduler.random.choice((names.READY, "yes"))
            self.fleet.forged.add((name, key))
            self._label(name, labels)

    def _label(self, name: str, labels: dict[str, str]) -> None:
        self.cluster.put(
            "nodes", name, msgspec.structs.replace(self.cluster.nodes[name], labels=labels)
        )

    def containers_run(self) -> None:
        self._busy("busy_until")

    def sandboxes_use_a_handler(self) -> None:
        self._busy("in_use_until")

    def _busy(self, field: str) -> None:
        name = self._node()
        if name:
            until = self.cluster.time(self.scheduler.random.uniform(5, 400))
            self.fleet.change(name, **{field: until})

    def controller_dies(self) -> None:
        self._controller().kill()

    def controller_is_held(self) -> None:
        self._controller().hold(self.scheduler.random.choice((3, 8, 20, 60)))

    def watch_freezes(self) -> None:
        self._controller().freeze(self.scheduler.random.choice(KINDS))

    def history_is_gone(self) -> None:
        """A watch is answered 410."""
        self._controller().list_anew(self.scheduler.random.choice(KINDS))

    def clock_steps(self) -> None:
        self._controller().skew = self.scheduler.random.choice(CONTROLLER_SKEWS_S)

    def weather_changes(self) -> None:
        """Change how often writes fail, and how late watches are."""
        draw = self.scheduler.random
        faults = self.controllers[0].faults
        faults.write = draw.choice((0, 0.01, 0.05, 0.3))
        faults.lease = draw.choice((0, 0, 0.1, 0.8))
        faults.lag_s = draw.choice((0.1, 1, 5, 20))
        faults.stale_s = draw.choice((0, 0, 5, 60))

    def _controller(self) -> Controller:
        return self.scheduler.random.choice(self.controllers)
