"""What people and misfortune do to a cluster, drawn from the scheduler's source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from rcm_api import names, noderuntime, shim, shim_status
from rcm_controller import views
from tests.fakes import standin
from tests.simulation.cluster import KINDS, Cluster
from tests.simulation.controller import Controller
from tests.simulation.fleet import Fleet
from tests.simulation.scheduler import Scheduler

CLASSES = (
    ("amd64", "debian", "1.7.24"),
    ("amd64", "flatcar", "2.0.4"),
    ("arm64", "debian", "1.7.24"),
)
ZONES = ("a", "b", "c")
BAD = standin.Behaviour(fails=1)
KINDS_OF_RELEASE = (
    (standin.GOOD, 10),
    (standin.Behaviour(apply_s=45), 2),
    (standin.Behaviour(fetch_s=40, apply_s=0.2), 2),
    (BAD, 5),
    (standin.Behaviour(fails=1, leaves_nothing=True), 1),
    (standin.Behaviour(fails=0.2), 2),
    (standin.Behaviour(fails=0.5, heals_at=1), 2),
    (standin.Behaviour(hangs=True), 1),
    (standin.Behaviour(fetch_fails=True), 1),
)


@dataclass(slots=True)
class Story:
    """Draws the next event; each is a method whose name says what it is."""

    cluster: Cluster
    scheduler: Scheduler
    fleet: Fleet
    controllers: tuple[Controller, ...]
    releases: int = 0
    shims: int = 0
    names: int = 0
    calm: bool = False

    def begin(self, nodes: int) -> None:
        """Make the first nodes and the first Shim."""
        for _ in range(nodes):
            self.node_joins()
        self.shim_created()

    def draw(self) -> None:
        """Let one thing happen."""
        kinds, weights = zip(*_EVENTS, strict=True)
        event: Callable[[Story], None] = self.scheduler.random.choices(kinds, weights)[0]
        self.scheduler.tell("story", event.__name__)
        event(self)

    # Nodes.

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

    # Shims.

    def shim_created(self) -> None:
        if len(self.cluster.shims) >= 3:
            return
        self.shims += 1
        draw = self.scheduler.random
        free = [n for n in ("s1", "s2", "s3", "s4") if n not in self.cluster.shims]
        name = draw.choice(free)
        handler = draw.choice((name, name, name, name, "s1"))
        wanted = shim.Shim(
            name=name,
            artifacts=self._artifacts(),
            runtime_class=shim.RuntimeClass(name=handler, handler=handler),
            options={},
            rollout=self._rollout(),
        )
        view = views.ShimView(
            name=name,
            uid=f"{name}-{self.shims}",
            generation=1,
            created=self.cluster.time(),
            wanted=wanted,
            problem=None,
            status=shim_status.ShimStatus(),
        )
        self.cluster.put("shims", name, view)

    def shim_deleted(self) -> None:
        view = self._shim()
        if view is None or view.deleting is not None:
            return
        if not view.finalizers:
            self.cluster.drop("shims", view.name)
        else:
            self.cluster.put("shims", view.name, replace(view, deleting=self.cluster.time()))

    def release_changed(self) -> None:
        self._edit(lambda s: replace(s, artifacts=self._artifacts()))

    def release_reverted(self) -> None:
        """Go back to a release of before, by number."""
        number = max(1, self.releases - self.scheduler.random.randint(1, 4))
        self._edit(lambda s: replace(s, artifacts=self._artifacts(number)))

    def selector_changed(self) -> None:
        zone = self.scheduler.random.choice((*ZONES, None))
        selector = None if zone is None else {"zone": zone}
        self._edit(lambda s: replace(s, node_selector=selector))

    def rollout_changed(self) -> None:
        self._edit(lambda s: replace(s, rollout=self._rollout()))

    def paused_or_resumed(self) -> None:
        self._edit(lambda s: replace(s, rollout=replace(s.rollout, paused=not s.rollout.paused)))

    def handler_changed(self) -> None:
        handler = self.scheduler.random.choice(("s1", "s2", "s3", "other"))
        self._edit(
            lambda s: replace(s, runtime_class=shim.RuntimeClass(name=handler, handler=handler))
        )

    def options_changed(self) -> None:
        options = {"SystemdCgroup": self.scheduler.chance(0.5)}
        self._edit(lambda s: replace(s, options=options))

    def class_edited_by_hand(self) -> None:
        name = self._pick(self.cluster.classes)
        if name is None:
            return
        found = self.cluster.classes[name]
        if self.scheduler.chance(0.5):
            self.cluster.drop("classes", name)
        else:
            self.cluster.put("classes", name, msgspec.structs.replace(found, node_selector={}))

    def _edit(self, change: Callable[[shim.Shim], shim.Shim]) -> None:
        view = self._shim()
        if view is None or view.deleting is not None or view.wanted is None:
            return
        edited = replace(view, wanted=change(view.wanted), generation=view.generation + 1)
        self.cluster.put("shims", view.name, edited)

    def _artifacts(self, number: int | None = None) -> tuple[shim.Artifact, ...]:
        draw = self.scheduler.random
        if number is None:
            self.releases += 1
            number = self.releases
            kinds, weights = zip(*KINDS_OF_RELEASE, strict=True)
            behaviour = standin.GOOD if self.calm else draw.choices(kinds, weights)[0]
            for arch in ("amd64", "arm64"):
                self.fleet.behaviours.setdefault(standin.content(_url(number, arch)), behaviour)
        pinned = number % 4 != 0
        arches = ("amd64", "arm64") if number % 5 else ("amd64",)
        return tuple(
            shim.Artifact(
                os="linux",
                arch=arch,
                location=_url(number, arch),
                sha256=standin.content(_url(number, arch)) if pinned else None,
                binary=None,
            )
            for arch in arches
        )

    def _rollout(self) -> shim.Rollout:
        draw = self.scheduler.random
        return shim.Rollout(
            type="recreate" if draw.random() < 0.05 else "rolling",
            max_update=draw.choice((1, 1, 2, 3, 5, 100, "10%", "34%", "100%")),
            canary_nodes=draw.choice((1, 1, 1, 2, 3)),
            soak_seconds=draw.choice((0, 5, 30, 120)),
            max_failures=draw.choice((None, None, None, 1, 3, "10%")),
            paused=draw.random() < 0.05,
            disruption="Allow" if draw.random() < 0.3 else "WaitForIdle",
        )

    # Controllers and the API server.

    def controller_dies(self) -> None:
        self._controller().kill()

    def controller_is_held(self) -> None:
        self._controller().hold(self.scheduler.random.choice((3, 8, 20, 60)))

    def watch_freezes(self) -> None:
        self._controller().freeze(self.scheduler.random.choice(KINDS))

    def clock_steps(self) -> None:
        self._controller().skew = self.scheduler.random.choice((0, 0, -300, 300, 20))

    def weather_changes(self) -> None:
        """Change how often writes fail, and how late watches are."""
        draw = self.scheduler.random
        faults = self.controllers[0].faults
        faults.write = draw.choice((0, 0.01, 0.05, 0.3))
        faults.lease = draw.choice((0, 0, 0.1, 0.8))
        faults.lag_s = draw.choice((0.1, 1, 5, 20))

    def _controller(self) -> Controller:
        return self.scheduler.random.choice(self.controllers)

    def _node(self) -> str | None:
        return self._pick(self.fleet.machines)

    def _shim(self) -> views.ShimView | None:
        name = self._pick(self.cluster.shims)
        return None if name is None else self.cluster.shims[name]

    def _pick(self, found: dict[str, Any]) -> str | None:
        return self.scheduler.random.choice(list(found)) if found else None

    # The end.

    def end_well(self) -> None:
        """End all faults; releases may stay as bad as they are, or become good."""
        faults = self.controllers[0].faults
        faults.write, faults.lease, faults.lag_s = 0.0, 0.0, 0.1
        self.fleet.lost_writes, self.calm = 0.0, True
        for replica in self.controllers:
            replica.skew = 0.0
            replica.cache.lag = dict.fromkeys(KINDS, 0.1)
        for url, behaviour in self.fleet.behaviours.items():
            if behaviour.hangs:
                self.fleet.behaviours[url] = standin.GOOD
        for name in self.fleet.machines:
            self.fleet.revive(name)
            self.fleet.set_ready(name, ready=True)
            self.fleet.change(name, busy_until=None, in_use_until=None)

    def mend(self) -> None:
        """Give every Shim a good release, and let it roll."""
        for view in list(self.cluster.shims.values()):
            if view.wanted is None or view.deleting is not None:
                continue
            rollout = replace(view.wanted.rollout, paused=False)
            wanted = replace(view.wanted, artifacts=self._artifacts(), rollout=rollout)
            edited = replace(view, wanted=wanted, generation=view.generation + 1)
            self.cluster.put("shims", view.name, edited)


def _url(number: int, arch: str) -> str:
    return f"https://example.com/r{number}/shim-{arch}.tar.gz"


_EVENTS: tuple[tuple[Callable[[Story], None], float], ...] = (
    (Story.node_joins, 3),
    (Story.node_leaves, 2),
    (Story.node_dies, 3),
    (Story.node_is_back, 6),
    (Story.agent_goes_away, 1),
    (Story.node_gets_another_uid, 2),
    (Story.node_flaps, 3),
    (Story.node_changes_zone, 2),
    (Story.ready_label_is_forged, 1),
    (Story.containers_run, 4),
    (Story.sandboxes_use_a_handler, 3),
    (Story.shim_created, 3),
    (Story.shim_deleted, 2),
    (Story.release_changed, 6),
    (Story.release_reverted, 3),
    (Story.selector_changed, 2),
    (Story.rollout_changed, 2),
    (Story.paused_or_resumed, 2),
    (Story.handler_changed, 1),
    (Story.options_changed, 1),
    (Story.class_edited_by_hand, 1),
    (Story.controller_dies, 2),
    (Story.controller_is_held, 3),
    (Story.watch_freezes, 2),
    (Story.clock_steps, 1),
    (Story.weather_changes, 3),
)
