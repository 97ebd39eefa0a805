"""One whole simulated life of a cluster: chaos, then peace, then nothing more to do.

outcome = life.live(seed)          # raises Broken with the seed and the last things that happened
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rcm_controller import actions, order, rollout, status, survey, upkeep
from rcm_controller.world import Policy, World
from tests.simulation import end, words
from tests.simulation.cluster import Cluster
from tests.simulation.controller import Controller, Decide, Faults
from tests.simulation.fleet import NODE_SKEWS_S, Fleet
from tests.simulation.judge import Judge
from tests.simulation.misfortune import CONTROLLER_SKEWS_S
from tests.simulation.scene import Broken
from tests.simulation.scheduler import Scheduler
from tests.simulation.story import Story

SETTLE_S = 6 * 3600.0
"""More than all deadlines in a row: 15 minutes for the dead, 60 nodes one by one with a soak each."""
LONGEST_WAITS = (
    Policy().backoff * (1 << upkeep.LONGEST_DOUBLING),
    Policy().answer_deadline,
    Policy().dead_node_deadline,
)
"""After which the controller writes although nothing happened meanwhile."""
LOOK_S = 120.0
"""Until somebody looks, writes and is answered; twice the longest pause of an idle controller."""
PEACE_S = max(LONGEST_WAITS).total_seconds() + max(*NODE_SKEWS_S, *CONTROLLER_SKEWS_S) + LOOK_S
"""So long nobody may write any more. A clock that was ahead wrote times into objects from which
the waits count: a node five minutes ahead is tried again five minutes late."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a life came to."""

    seed: int
    steps: int
    writes: int
    simulated_s: float
    nodes: int
    trials: int


@dataclass(slots=True)
class Life:
    """The parts of one simulation."""

    seed: int
    cluster: Cluster
    scheduler: Scheduler
    fleet: Fleet
    judge: Judge
    controllers: tuple[Controller, ...]
    story: Story

    @property
    def steps(self) -> int:
        """Calls of the planner."""
        return sum(replica.steps for replica in self.controllers)


def plan(world: World) -> Sequence[actions.Action]:
    """Decide as the controller does at each look; Events are for people, and nobody looks here."""
    found = survey.look(world)
    told = status.changed(world, status.of(found))
    return order.by_urgency((*rollout.decide(found), *told), world)


def born(seed: int, decide: Decide | None = None, policy: Policy | None = None) -> Life:
    """Make an empty cluster with two controllers."""
    cluster = Cluster()
    scheduler = Scheduler(cluster, seed)
    fleet = Fleet(cluster, scheduler)
    judge = Judge(cluster, scheduler, fleet)
    faults = Faults()
    controllers = tuple(
        Controller(
            name,
            scheduler,
            decide=decide or plan,
            judge=judge,
            faults=faults,
            policy=policy or Policy(),
        )
        for name in ("alpha", "beta")
    )
    story = Story(cluster, scheduler, fleet, controllers)
    return Life(seed, cluster, scheduler, fleet, judge, controllers, story)


def live(seed: int, decide: Decide | None = None) -> Outcome:
    """Run one life to its end.

    Raises:
        Broken: an invariant does not hold.
    """
    life = born(seed, decide)
    try:
        chaos(life)
        settle(life)
    except Exception as error:
        raise Broken(_words(life, error)) from error
    return Outcome(
        seed=seed,
        steps=life.steps,
        writes=life.judge.writes,
        simulated_s=life.cluster.now,
        nodes=len(life.fleet.machines),
        trials=life.judge.trials,
    )


def chaos(life: Life) -> None:
    """Let people and misfortune have their way for some time."""
    draw = life.scheduler.random
    life.story.begin(nodes=min(60, 3 + int(draw.expovariate(1 / 6))))
    pace_s = draw.choice((5, 15, 40, 90))
    for _ in range(draw.randint(10, 60)):
        life.scheduler.run(life.cluster.now + draw.expovariate(1 / pace_s))
        life.story.draw()


def settle(life: Life) -> None:
    """End the faults, wait until nothing happens, and look whether all is as it should be."""
    life.story.end_well()
    mended = life.scheduler.chance(0.7)
    if mended:
        life.story.mend()
    rest(life)
    found = end.wrong(life.cluster, life.fleet, mended=mended)
    if found:
        raise Broken("at the end: " + "; ".join(found[:10]))


def rest(life: Life) -> None:
    """Wait until nothing happens any more, and let nobody write from then on."""
    _wait_for_silence(life)
    life.judge.quiet = True
    life.scheduler.run(life.cluster.now + PEACE_S)


def _wait_for_silence(life: Life) -> None:
    """Return when nothing was written for longer than any deadline."""
    deadline = life.cluster.now + SETTLE_S
    while life.cluster.now < deadline:
        revision = life.cluster.revision
        life.scheduler.run(life.cluster.now + PEACE_S)
        if revision == life.cluster.revision:
            return
    raise Broken(f"still writing after {SETTLE_S / 3600:.0f} h")


def _words(life: Life, error: Exception) -> str:
    told = "\n".join(words.line(*line) for line in life.scheduler.trace)
    return (
        f"seed {life.seed}, step {life.steps}, {life.cluster.now:.1f} s: {error!r}\n"
        f"replay: python -m tests.simulation --seed {life.seed}\n{told}"
    )


def lives(seed: int, steps: int, decide: Decide | None = None) -> Iterator[Outcome]:
    """Run one life after another until the planner was called so many times."""
    done = 0
    while done < steps:
        outcome = live(seed, decide)
        done += outcome.steps
        seed += 1
        yield outcome


def default_steps(steps: int) -> int:
    """Return how many steps to run: fewer or more on demand."""
    return int(os.environ.get("RCM_SIMULATED_STEPS", steps))
