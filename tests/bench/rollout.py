"""Time of one look at many nodes: `python -m tests.bench.rollout`.

Prints the least of several runs in milliseconds, for a world in which nothing is to be done and for
one in the middle of a rollout; `plan` is everything, `decide` leaves out what Shims are told.
"""

import gc
import json
import sys
import time

from rcm_api.noderuntime import Phase, Wanted
from rcm_controller import rollout, status, survey
from rcm_controller.world import World
from tests.controller import make

SIZES = (5_000, 15_000)
LABELS = {f"example.com/label-{i}": "some value" for i in range(12)}
"""As many labels as nodes of clouds carry."""
RUNS = 7


def main() -> None:
    """Print one JSON document."""
    found = {f"{nodes} nodes": measure(nodes) for nodes in SIZES}
    json.dump(found, sys.stdout, indent=2)
    print()


def measure(nodes: int) -> dict[str, float]:
    """Return milliseconds by kind of world and by part."""
    worlds = {"unchanged": unchanged(nodes), "mid-rollout": mid_rollout(nodes)}
    return {
        f"{kind} {part.__name__}": round(best_ms(part, world), 1)
        for kind, world in worlds.items()
        for part in (sort, decide, tell, rollout.plan)
    }


def sort(world: World) -> object:
    """Sort the world by Shims."""
    return survey.look(world)


def decide(world: World) -> object:
    """Sort, and decide what nodes shall do."""
    return rollout.decide(survey.look(world))


def tell(world: World) -> object:
    """Sort, and find what Shims are told."""
    return status.of(survey.look(world))


def best_ms(part, world: World) -> float:
    """Return the least time of several runs."""
    times = []
    for _ in range(RUNS):
        gc.collect()
        began = time.perf_counter()
        part(world)
        times.append(time.perf_counter() - began)
    return 1000 * min(times)


def unchanged(nodes: int) -> World:
    """Return a world in which every node is ready and labelled, and the status says so."""
    return _told(_world(nodes, ready=nodes))


def mid_rollout(nodes: int) -> World:
    """Return one in which a half has the new version, a part is changing, and the rest is due."""
    return _told(_world(nodes, ready=nodes // 2))


def _world(count: int, *, ready: int) -> World:
    old, new = make.wanted(version="1"), make.wanted(version="2")
    done = (make.entry(new), make.seen(new))
    busy = (make.entry(new, attempt=0), make.seen(new, Phase.FETCHED, has=old))
    due = (make.entry(new, Wanted.PREFETCH), make.seen(new, Phase.FETCHED, has=old))
    names = [f"node-{i:05}" for i in range(count)]
    changing = ready + count // 20
    return make.world(
        shims=[make.view(new, status=make.proven(new))],
        nodes=[make.node(n, labels=LABELS, ready_for=["spin"]) for n in names],
        runtimes=[
            make.runtime(n, done if i < ready else busy if i < changing else due)
            for i, n in enumerate(names)
        ],
        classes=[make.runtime_class(new)],
    )


def _told(world: World) -> World:
    """Let the objects hold the status that the first look finds."""
    view = world.shims["spin"]
    told = make.replaced(view, status=status.statuses(world)["spin"])
    return make.replaced(world, shims={"spin": told})


if __name__ == "__main__":
    main()
