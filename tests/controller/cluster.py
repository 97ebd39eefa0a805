"""A cluster in memory: carries actions out at once, and has agents that do as they are told.

Small on purpose; faults and two controllers belong to `tests/simulation`.
"""

import dataclasses
from datetime import timedelta

import msgspec

from rcm_api import names, noderuntime
from rcm_api.noderuntime import Phase, Wanted
from rcm_controller import actions, rollout, views
from rcm_controller.states import FAILURES
from tests.controller import make

replace = msgspec.structs.replace


class Cluster:
    """A world that changes."""

    def __init__(self, world, *, fails=lambda _node, _entry: False, facts=None):
        self.world = world
        self.fails = fails
        self.facts = facts or {}
        self.version = 1
        self.done = []

    def look(self):
        """Plan once and carry everything out."""
        found = rollout.plan(self.world)
        for action in found:
            self.carry_out(action)
        return found

    def run(self, *, looks=60, seconds=31.0):
        """Look, answer and let time pass until nothing is left to do."""
        for _ in range(looks):
            found = self.look()
            moved = self.answer()
            if not found and not moved:
                return
            self.pass_time(seconds)
        raise AssertionError(f"still at work: {found}")

    def pass_time(self, seconds):
        now = self.world.now + timedelta(seconds=seconds)
        self.world = dataclasses.replace(self.world, now=now)

    def put(self, kind, **objects):
        """Replace objects of a kind; None removes one."""
        found = {**getattr(self.world, kind), **objects}
        found = {k: v for k, v in found.items() if v is not None}
        self.world = dataclasses.replace(self.world, **{kind: found})

    def edit(self, manifest):
        view = self.world.shims[manifest.name]
        self.put(
            "shims",
            **{
                manifest.name: dataclasses.replace(
                    view, wanted=manifest, generation=view.generation + 1
                )
            },
        )

    def delete(self, name):
        view = self.world.shims[name]
        self.put("shims", **{name: dataclasses.replace(view, deleting=self.world.now)})

    def _next(self):
        self.version += 1
        return str(self.version)

    def carry_out(self, action):  # noqa: C901 - one arm per action
        self.done.append(action)
        match action:
            case actions.LabelNode():
                node = self.world.nodes[action.node]
                labels = dict(node.labels)
                for shim, on in action.shims.items():
                    labels.pop(names.ready_label(shim), None)
                    if on:
                        labels[names.ready_label(shim)] = names.READY
                self.put("nodes", **{node.name: replace(node, labels=labels)})
            case actions.CreateNodeRuntime():
                assert action.node not in self.world.runtimes
                metadata = noderuntime.Metadata(
                    name=action.node, uid=f"nr{self._next()}", resource_version=self._next()
                )
                made = noderuntime.NodeRuntime(metadata=metadata, spec=action.spec)
                self.put("runtimes", **{action.node: made})
            case actions.UpdateNodeRuntime():
                known = self.world.runtimes[action.node]
                assert known.metadata.resource_version == action.resource_version
                metadata = replace(known.metadata, resource_version=self._next())
                self.put(
                    "runtimes", **{action.node: replace(known, spec=action.spec, metadata=metadata)}
                )
            case actions.DeleteNodeRuntime():
                self.put("runtimes", **{action.node: None})
            case actions.CreateRuntimeClass() | actions.UpdateRuntimeClass():
                spec = action.wanted
                self.put(
                    "classes",
                    **{
                        spec.name: views.RuntimeClassView(
                            name=spec.name,
                            uid=f"rc{self._next()}",
                            resource_version=self._next(),
                            handler=spec.handler,
                            owners=(spec.shim_uid,),
                            labels={"app.kubernetes.io/managed-by": names.MANAGER},
                            node_selector=spec.node_selector,
                            tolerations=spec.tolerations,
                            overhead=spec.overhead,
                        )
                    },
                )
            case actions.DeleteRuntimeClass():
                self.put("classes", **{action.name: None})
            case actions.SetFinalizer():
                self._finalize(action)
            case actions.WriteShimStatus():
                view = self.world.shims.get(action.shim)
                if view is not None:
                    view = dataclasses.replace(view, status=action.status)
                    self.put("shims", **{action.shim: view})
            case actions.EmitEvent():
                pass

    def _finalize(self, action):
        view = self.world.shims[action.shim]
        others = tuple(f for f in view.finalizers if f != names.FINALIZER)
        kept = (*others, names.FINALIZER) if action.present else others
        gone = view.deleting is not None and not kept
        view = None if gone else dataclasses.replace(view, finalizers=kept)
        self.put("shims", **{action.shim: view})

    def answer(self):
        """Let every live node's agent do what it is asked."""
        moved = False
        for name, runtime in self.world.runtimes.items():
            node = self.world.nodes.get(name)
            if node is None or not node.ready or runtime.spec.node_uid != node.uid:
                continue
            known = {s.name: s for s in runtime.status.shims}
            shims = tuple(self._obey(name, e, known.get(e.name)) for e in runtime.spec.shims)
            status = noderuntime.Status(facts=self.facts.get(name, make.FACTS), shims=shims)
            if status != runtime.status:
                moved = True
                metadata = replace(runtime.metadata, resource_version=self._next())
                self.put("runtimes", **{name: replace(runtime, status=status, metadata=metadata)})
        return moved

    def _obey(self, node, entry, seen):
        said = seen or noderuntime.ShimObserved(name=entry.name, phase=Phase.ABSENT)
        answered = (said.observed_digest, said.observed_attempt) == (entry.digest, entry.attempt)
        fields = {
            "observed_digest": entry.digest,
            "observed_attempt": entry.attempt,
            "sha256": entry.artifact.sha256 or make.sha(entry.artifact.url),
            "time": self.world.now,
        }
        if entry.phase is Wanted.PREFETCH:
            if answered and said.phase is Phase.FETCHED:
                return said
            return replace(said, phase=Phase.FETCHED, **fields)
        if entry.phase is Wanted.ABSENT:
            if answered and said.phase is Phase.ABSENT and not said.digest:
                return said
            return replace(said, phase=Phase.ABSENT, digest="", handler="", **fields)
        has = (said.digest, said.handler) == (entry.digest, entry.handler)
        if answered and (said.phase in FAILURES or (said.phase is Phase.READY and has)):
            return said
        if self.fails(node, entry):
            phase = Phase.ROLLED_BACK if said.digest else Phase.FAILED
            return replace(said, phase=phase, message="does not start", **fields)
        return replace(
            said, phase=Phase.READY, digest=entry.digest, handler=entry.handler, **fields
        )
