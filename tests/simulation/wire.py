"""The second layer: real controllers, caches and leases over a model of the API server.

Slower than `life`, and without its many kinds of events: what is tried here is what `cache.Cache`
takes for granted. Replies are lost, watches freeze, processes stop for a while or for good, and
the budget is counted around every single write that reaches the server.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Generator, Iterator

import msgspec

from rcm_api import shim
from rcm_api.client import resources
from rcm_api.client.transport import Request, Response, Transport
from tests.controller_run import objects, rig
from tests.fakes import standin
from tests.fakes.apiserver import faulty
from tests.simulation import oracle
from tests.simulation.scene import Broken

BAD = 7
"""A version that always fails."""
BEHAVIOURS = objects.QUICK | {
    standin.content(objects.URL.format(BAD)): standin.Behaviour(fetch_s=0.1, apply_s=0.3, fails=1)
}
FAULTS = (
    faulty.NoReply(),
    faulty.NoReply(),
    faulty.NotSent(),
    faulty.Refuse(409, "Conflict"),
    faulty.Refuse(429, "TooManyRequests", retry_after_s=1),
    faulty.Refuse(500, "InternalError"),
    faulty.Refuse(503, "ServiceUnavailable"),
)
SHIM = "spin-v2"


class Road:
    """A `Transport` between one replica and the server: some watches are silent for a while."""

    def __init__(self, inner: Transport, wire: Wire) -> None:
        self._inner, self._wire = inner, wire
        self.frozen_until: dict[str, float] = {}
        """By path."""

    def send(self, request: Request) -> Response:
        """Pass on; a write is judged."""
        if request.method == "GET":
            return self._inner.send(request)
        before = self._wire.changing()
        answer = self._inner.send(request)
        if request.path.startswith(resources.NODERUNTIMES.path()):
            self._wire.judge(before)
        return answer

    @contextlib.contextmanager
    def stream(self, request: Request) -> Generator[Iterator[bytes]]:
        """Pass on what is not held up."""
        with self._inner.stream(request) as lines:
            yield self._held(request.path, lines)

    def _held(self, path: str, lines: Iterator[bytes]) -> Iterator[bytes]:
        while True:
            if self._wire.rig.now < self.frozen_until.get(path, 0.0):
                yield b""
                continue
            line = next(lines, None)
            if line is None:
                return
            yield line

    def close(self) -> None:
        """Close the other one."""
        self._inner.close()


class Wire:
    """One life of a small cluster."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a replay, not a secret
        self.rig = rig.Rig(nodes=self.random.randint(3, 6), elect=True)
        for name, state in self.rig.states.items():
            self.rig.states[name] = msgspec.structs.replace(state, behaviours=BEHAVIOURS)
        self.roads: dict[str, Road] = {}
        self.faults = 0.0
        self.most = 0
        self.digest = ""
        self.version = 1
        self.born = 0
        self.writes = 0
        for _ in range(2):
            self.start()

    def start(self) -> None:
        """Start a process."""
        self.born += 1
        made = self.rig.replica(f"replica-{self.born}")
        road = Road(made.moves.inner, self)
        made.moves.inner = road
        made.moves.decide = self._fault
        self.roads[made.name] = road

    def _fault(self, request: Request) -> faulty.Fault | None:
        rare = 0.2 if request.method == "GET" else 1.0
        if self.random.random() < self.faults * rare:
            return self.random.choice(FAULTS)
        return None

    def changing(self) -> set[str]:
        """Return the nodes that change, or that failed at what is wanted now."""
        found: set[str] = set()
        for runtime in self.rig.runtimes():
            state = self.rig.states[runtime.name]
            if oracle.failed(runtime, SHIM) == self.digest or oracle.changing(runtime, state, SHIM):
                found.add(runtime.name)
        return found

    def judge(self, before: set[str]) -> None:
        """Compare with what it was before a write."""
        self.writes += 1
        now = self.changing()
        if now - before and len(now) > self.most:
            raise Broken(f"{sorted(now)} change or have failed, allowed {self.most}")

    def draw(self) -> None:
        """Let one thing happen."""
        kinds = (self.edit, self.freeze, self.stop, self.kill, self.weather)
        self.random.choices(kinds, (4, 3, 2, 2, 3))[0]()

    def edit(self) -> None:
        """Ask for another version."""
        self.version = self.random.choice((1, 2, 3, 4, BAD))
        self.most = self.random.choice((1, 1, 2))
        self.apply(self.version)

    def apply(self, version: int) -> None:
        """Write the Shim, and know what it comes to."""
        document = objects.shim(version, maxUpdate=self.most)
        wanted = shim.parse(document)
        self.digest = shim.digest(wanted, wanted.artifacts[0])
        self.rig.apply(document)

    def freeze(self) -> None:
        """Let a watch of a replica be silent, at times longer than its deadline."""
        road = self.random.choice(list(self.roads.values()))
        kind = self.random.choice(
            (resources.SHIMS, resources.NODES, resources.NODERUNTIMES, resources.RUNTIMECLASSES)
        )
        road.frozen_until[kind.path()] = self.rig.now + self.random.choice((1, 5, 20, 130))

    def stop(self) -> None:
        """Stop a process for a while."""
        chosen = self.random.choice(self.rig.replicas)
        chosen.alive = False
        self.rig.run(self.random.choice((1, 5, 20)))
        chosen.alive = True

    def kill(self) -> None:
        """End a process; another one starts."""
        chosen = self.random.choice(self.rig.replicas)
        self.rig.replicas.remove(chosen)
        del self.roads[chosen.name]
        self.start()

    def weather(self) -> None:
        """Change how often requests break."""
        self.faults = self.random.choice((0, 0.05, 0.3))


def live(seed: int, *, events: int = 12) -> int:
    """Run one life to a quiet end; return how many writes of NodeRuntimes were judged.

    Raises:
        Broken: the budget was exceeded, or the end is not as it should be.
    """
    wire = Wire(seed)
    try:
        _live(wire, events)
    except Exception as error:
        raise Broken(f"wire seed {seed}, {wire.rig.now:.1f} s: {error!r}") from error
    return wire.writes


def _live(wire: Wire, events: int) -> None:
    wire.edit()
    for _ in range(events):
        wire.rig.run(wire.random.choice((0.3, 1, 3, 10)))
        wire.draw()
    wire.faults = 0.0
    for road in wire.roads.values():
        road.frozen_until.clear()
    wire.apply(5)
    if not wire.rig.run(240, until=wire.rig.ready):
        raise Broken(f"never ready: {wire.rig.condition('Ready')}")
    wire.rig.run(20)
    written = wire.writes
    wire.rig.run(120)
    if written != wire.writes:
        raise Broken("it wrote though nothing was to be done")
