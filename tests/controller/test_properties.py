"""What holds in every world, however it came about."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from rcm_api import names, noderuntime
from rcm_api.noderuntime import Phase, Wanted
from rcm_controller import actions, quota, rollout, status, survey
from rcm_controller.courses import Aim
from rcm_controller.states import State
from tests.controller import looks, make
from tests.controller.cluster import Cluster

pytestmark = pytest.mark.timeout(60)
SOME = settings(deadline=None, max_examples=60)
A_FEW = settings(deadline=None, max_examples=20)
"""Worlds are large; a test takes a second or two, and far longer on a busy machine."""
ROLLOUTS = some.fixed_dictionaries(
    {},
    optional={
        "max_update": some.sampled_from([1, 2, 9, "10%", "50%", "100%"]),
        "max_failures": some.sampled_from([1, 3, "20%"]),
        "canary_nodes": some.integers(1, 3),
        "soak_seconds": some.sampled_from([0, 30]),
        "paused": some.booleans(),
    },
)
NAMES = ("spin", "wasm")
VERSIONS = some.sampled_from(["1", "2", "3"])
AGES = some.sampled_from([-300.0, 1.0, 35.0, 700.0, 1000.0])


@some.composite
def manifests(draw, name):
    return make.wanted(
        name,
        version=draw(VERSIONS),
        handler=draw(some.sampled_from([name, name, name, "same"])),
        selector=draw(some.sampled_from([None, None, {"pool": "wasm"}])),
        **draw(ROLLOUTS),
    )


@some.composite
def shims(draw, name):
    manifest = draw(manifests(name))
    deleting = draw(some.sampled_from([None, None, make.ago(10), make.ago(2000)]))
    held = deleting is not None or draw(some.booleans())
    return make.view(
        manifest,
        age=draw(some.sampled_from([10.0, 20.0])),
        status=make.proven(manifest, at_s=draw(AGES)) if draw(some.booleans()) else make.UNPROVEN,
        deleting=deleting,
        finalizers=(names.FINALIZER,) if held else (),
    )


@some.composite
def pairs(draw, name):
    """Return what is asked and said, of one mind or not."""
    asked = make.wanted(name, version=draw(VERSIONS))
    has = draw(some.sampled_from([None, make.wanted(name, version=draw(VERSIONS))]))
    entry = make.entry(
        asked,
        draw(some.sampled_from(Wanted)),
        asked_s=draw(AGES),
        attempt=draw(some.integers(0, 2)),
    )
    said = make.seen(
        draw(some.sampled_from([asked, asked, make.wanted(name, version=draw(VERSIONS))])),
        draw(some.sampled_from(Phase)),
        observed_attempt=draw(some.integers(0, 2)),
        at_s=draw(AGES),
        reason=draw(some.sampled_from(["", "WaitingForIdle"])),
        in_use=draw(some.integers(0, 1)),
        digest=make.digest(has) if has else "",
        handler=name if has else "",
    )
    return (
        draw(some.sampled_from([entry, entry, entry, None])),
        draw(some.sampled_from([said, said, said, None])),
    )


@some.composite
def machines(draw, name):
    labels = draw(some.sampled_from([{}, {"pool": "wasm"}]))
    node = make.node(
        name,
        labels=labels,
        ready=draw(some.sampled_from([True, True, True, False])),
        ready_changed=make.ago(draw(AGES)),
        control_plane=draw(some.sampled_from([False, False, False, True])),
        ready_for=draw(some.lists(some.sampled_from([*NAMES, "nobody"]), unique=True)),
        uid=draw(some.sampled_from([f"uid-{name}"] * 9 + ["other"])),
    )
    chosen = draw(some.lists(some.sampled_from([*NAMES, "nobody"]), unique=True))
    facts = draw(some.sampled_from([make.FACTS, make.FACTS, make.FLATCAR, noderuntime.Facts()]))
    runtime = make.runtime(
        name,
        *[draw(pairs(shim)) for shim in chosen],
        facts=facts,
        supported=draw(some.sampled_from([True, True, True, False])),
    )
    return node, draw(some.sampled_from([runtime, runtime, runtime, None]))


@some.composite
def worlds(draw):
    chosen = draw(some.lists(some.sampled_from(NAMES), unique=True))
    found = [draw(machines(f"n{i}")) for i in range(draw(some.integers(1, 6)))]
    return make.world(
        shims=[draw(shims(name)) for name in chosen],
        nodes=[node for node, _ in found],
        runtimes=[runtime for _, runtime in found if runtime is not None],
        classes=[make.runtime_class(make.wanted(n)) for n in chosen if draw(some.booleans())],
    )


def spending(course, world):
    """Count by node what changes or is broken, as `quota` does, but cell by cell."""
    selected = {c.node.name for c in course.cells if quota.spends(c)}
    return selected | {c.node.name for c in course.leaving if quota.spends_leaving(c, world)}


@given(worlds())
@SOME
def test_no_look_exceeds_a_budget(world):
    before = survey.look(world)
    cluster = Cluster(world)
    cluster.look()
    after = survey.look(cluster.world)

    for name, course in before.courses.items():
        if name not in after.courses:
            continue
        former, found = spending(course, world), spending(after.courses[name], cluster.world)
        assert len(found) <= max(len(former), quota.allowed(course))


@given(worlds())
@SOME
def test_labels_stand_where_the_handler_is_proven_and_nowhere_else(world):
    cluster = Cluster(world)
    cluster.look()

    found = survey.look(world)
    for node in cluster.world.nodes.values():
        for name in node.marks:
            assert _is_proven(found.courses.get(name), world, node.name), (node.name, name)


def _is_proven(course, world, name):
    node, runtime = world.nodes[name], world.runtimes.get(name)
    if course is None or runtime is None or runtime.spec.node_uid != node.uid:
        return False
    said = runtime.observed(course.name)
    if course.aim is Aim.REMOVE or said is None:
        return False
    return bool(said.digest) and said.phase not in {Phase.DRAINING, Phase.ABSENT}


@given(worlds())
@SOME
def test_nothing_is_removed_under_its_label(world):
    for action in looks.of(world, actions.UpdateNodeRuntime):
        for entry in action.spec.shims:
            former = world.runtimes[action.node].wanted(entry.name)
            begins = former is None or former.phase is not Wanted.ABSENT
            if entry.phase is Wanted.ABSENT and begins:
                assert entry.name not in world.nodes[action.node].marks


@given(worlds())
@SOME
def test_a_plan_depends_on_the_world_only(world):
    turned = dataclasses.replace(
        world,
        **{
            kind: dict(reversed(getattr(world, kind).items()))
            for kind in ("shims", "nodes", "runtimes", "classes")
        },
    )

    assert rollout.plan(turned) == rollout.plan(world) == rollout.plan(world)


@given(worlds())
@SOME
def test_while_nothing_answers_plans_come_to_an_end(world):
    cluster = Cluster(world)
    for _ in range(8):
        if not cluster.look():
            return

    assert cluster.look() == ()


@given(worlds())
@A_FEW
def test_with_agents_that_do_as_they_are_told_everything_ends_well(world):
    nodes = {n: make.node(n, labels=dict(v.labels)) for n, v in world.nodes.items()}
    cluster = Cluster(dataclasses.replace(world, nodes=nodes))
    cluster.run(looks=150)

    assert rollout.plan(cluster.world) == ()
    for name, course in survey.look(cluster.world).courses.items():
        assert course.aim is not Aim.REMOVE, name
        if course.aim is Aim.ROLL and not course.rollout.paused:
            told = status.statuses(cluster.world)[name]
            assert {c.state for c in course.cells} <= {State.READY, State.FAILED}
            assert told.nodes_ready + told.nodes_failed == told.nodes


@given(worlds())
@SOME
def test_counts_add_up(world):
    for course in survey.look(world).courses.values():
        if course.view is None or course.aim is Aim.HOLD:
            continue
        told = status.statuses(world)[course.name]
        parts = (
            told.nodes_ready, told.nodes_updating, told.nodes_waiting, told.nodes_failed,
            told.nodes_unsupported, told.nodes_outdated,
        )  # fmt: skip
        assert sum(parts) == told.nodes == len(course.cells)
