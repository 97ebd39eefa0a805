"""The invariants (design §6, 6-10), looked at around every write of a controller.

What a controller cannot know it is not blamed for: nodes that died a moment ago count from when
its cache says so. What it wrote itself, and what machines do because of it, counts as it is.
`labels`, `spending` and `objects` hold the rules, `end` those of the end.
"""

from __future__ import annotations

from rcm_api.noderuntime import Phase, ShimWanted, Wanted
from rcm_controller import actions, views
from tests.fakes import standin
from tests.simulation import controller as controllers
from tests.simulation import labels, objects, oracle
from tests.simulation.cluster import Change, Cluster
from tests.simulation.fleet import Fleet
from tests.simulation.scene import Broken, Scene
from tests.simulation.scheduler import Scheduler

MOMENT_S = 400.0
"""From an edit until nobody acts on what was there before it: 100 s, and a skewed clock."""


class Judge(controllers.Judge):
    """Carries out writes and looks at what they do."""

    def __init__(self, cluster: Cluster, scheduler: Scheduler, fleet: Fleet) -> None:
        self.cluster, self.scheduler, self.fleet = cluster, scheduler, fleet
        self.writes = 0
        self.trials = 0
        self.quiet = False
        """From now on every write is one too many."""
        fleet.tried = self.tried

    def write(
        self, controller: controllers.Controller, action: actions.Action
    ) -> tuple[str, Change] | None:
        """Do it unless a precondition forbids it, and see what that means."""
        node = getattr(action, "node", "")
        before = self.cluster.runtimes.get(node)
        written = self.cluster.carry_out(action)
        self.scheduler.tell(controller.name, action)
        self.writes += 1
        if self.quiet:
            raise Broken(f"a write though nothing is to be done: {action}")
        _apply_rules(Scene(self.cluster, self.fleet, controller.view, before), action)
        if isinstance(action, actions.CreateNodeRuntime | actions.UpdateNodeRuntime):
            self.fleet.look(node, self.scheduler.random.uniform(0.01, 1.5))
        return written

    def tried(self, state: standin.NodeState, entry: standin.Entry) -> None:
        """Judge a trial that begins: of a release that always fails, only canaries may try it."""
        self.trials += 1
        view, url = self.cluster.shims.get(entry.name), standin.url(entry)
        if view is None or view.wanted is None or view.wanted.rollout.type == "recreate":
            return
        always = self.fleet.behaviours.get(standin.content(url), standin.GOOD).fails >= 1
        if not always or entry.observed[1] > 0:
            return  # another attempt touches no other node
        canaries, limit = self._triers(entry, state), self._allowed(entry)
        if len(canaries) > limit:
            raise Broken(f"{view.name}: {sorted(canaries)} try a release that always fails")

    def _allowed(self, entry: standin.Entry) -> int:
        """Return the most canaries that anybody could believe to be allowed since it was asked."""
        log, most = self.cluster.log["shims"], 0
        asked = entry.wanted and entry.wanted.asked_at
        age_s = (self.cluster.time() - asked).total_seconds() if asked else 0.0
        for change in reversed(log):
            if change.name == entry.name and change.object is not None:
                most = max(most, self._canaries(change.object))
                if change.time < self.cluster.now - age_s - MOMENT_S:
                    break
        return most

    def _canaries(self, view: views.ShimView) -> int:
        if view.wanted is None:
            return 0
        rollout = view.wanted.rollout
        if rollout.type == "recreate":
            return len(self.cluster.nodes)
        more = rollout.max_failures is not None
        failures = oracle.failures(rollout, len(self.cluster.nodes)) - 1 if more else 0
        return rollout.canary_nodes + failures

    def _triers(self, tried: standin.Entry, state: standin.NodeState) -> set[str]:
        """Return the selected nodes of the same class that try a digest or have failed with it."""
        view, mine = self.cluster.shims[tried.name], oracle.node_class(state.facts)
        found = {state.name}
        for node in oracle.selected(view, self.cluster.nodes):
            machine = self.fleet.machines[node.name].state
            entry, runtime = machine.entries.get(tried.name), self.cluster.runtimes.get(node.name)
            if runtime is None or runtime.spec.node_uid != node.uid:
                continue  # another machine by now, whatever the former one tried
            if entry is None or entry.observed[0] != tried.observed[0]:
                continue
            tries = entry.work == "apply" or _has_tried(entry, runtime.wanted(tried.name))
            if tries and oracle.node_class(machine.facts) == mine:
                found.add(node.name)
        return found


def _has_tried(entry: standin.Entry, asked: ShimWanted | None) -> bool:
    """A failed download is no trial; once asked to hold, a node's failure cannot be told from one."""
    active = asked is not None and asked.phase is Wanted.ACTIVE
    return entry.phase is Phase.ROLLED_BACK or (entry.phase is Phase.FAILED and active)


def _apply_rules(scene: Scene, action: actions.Action) -> None:
    match action:
        case actions.LabelNode():
            labels.only_where_proven(scene, action)
        case actions.CreateNodeRuntime():
            objects.created(scene, action)
        case actions.UpdateNodeRuntime():
            objects.updated(scene, action)
        case actions.DeleteNodeRuntime():
            objects.deleted(scene, action)
        case actions.CreateRuntimeClass():
            labels.class_selects_the_label(scene, action)
        case actions.SetFinalizer():
            objects.held_until_clean(scene, action)
        case _:
            pass
