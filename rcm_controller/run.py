"""The threads of one controller process, from start to a clean stop.

Called by `cli`. One thread per watch, one for the lease, one that plans, a few that write, and
those of the health server. Each runs steps of objects that know no threads; an error that nobody
expected ends a step, never a thread.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

import structlog

from rcm_api import names, serving
from rcm_api.client import api, backoff, reflector, resources, transport
from rcm_controller import (
    clock,
    gauges,
    leader,
    loop,
    metrics,
    rollout,
    settings,
    store,
    watches,
)

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

WRITERS = 8
"""A write takes 5 ms, and 60 ms when API server, etcd and 5,000 agents share two busy cores: eight
keep up with 100 a second even then. Far below the connections that `http` keeps."""
WRITE_TIMEOUT_S = 10.0
"""A write that hangs longer is lost to us; the term that allowed it is over by then."""
LEASE_TIMEOUT_S = 4.0
"""Two tries within the 10 s after which a leader stops itself."""
STUCK_S = 60.0
"""A plan takes a second at 15,000 nodes; a loop that has not moved for a minute hangs."""
DRAIN_S = 1.5
"""Given to writes under way when we stop; R9 leaves 3 s for the whole hand-over."""
BATCH_S = 0.05
"""Writers that wait for the budget wait at least so long: a few writes at a time, not one."""
EDIT_S = 0.1
"""So soon an edit is noticed among other changes that wait for the next plan."""
GATHER_S = {resources.NODES: 0.25, resources.NODERUNTIMES: 0.1}
"""There are thousands of these, and none is a person's edit; the next plan comes later anyway."""
IDLE_S = 5.0
"""Nobody waits longer without looking, whatever woke or did not wake it."""
SURPRISE = backoff.Backoff(base_s=1.0, cap_s=30.0)
"""After an error that nobody expected."""


class Patience:
    """A transport whose requests may take so long and no longer."""

    def __init__(self, moves: transport.Transport, *, timeout_s: float) -> None:
        """Send through `moves`."""
        self._moves = moves
        self._timeout_s = timeout_s

    def send(self, request: transport.Request) -> transport.Response:
        """Send with our patience."""
        return self._moves.send(replace(request, timeout_s=self._timeout_s))

    def stream(self, request: transport.Request) -> AbstractContextManager[Iterator[bytes]]:
        """Open a stream as it is."""
        return self._moves.stream(request)

    def close(self) -> None:
        """Close what is below."""
        self._moves.close()


class Program:
    """One process."""

    def __init__(
        self, moves: transport.Transport, chosen: settings.Settings, *, identity: str
    ) -> None:
        """Put the parts together; nothing runs yet.

        Raises:
            OSError: the address for metrics is not to be had.
        """
        self._moves = moves
        self._time = clock.SystemClock()
        self._told = metrics.Metrics()
        self._stop = threading.Event()
        self._changed = threading.Event()
        self._decided = threading.Condition()
        self._caches = store.Store(told=self._told, wake=self._changed.set)
        self._reflectors = self._follow(_client(moves))
        heard = {kind: follower.health for kind, follower in self._reflectors.items()}
        self._watches = watches.Watches(heard, time=self._time)
        self._elector = self._elect(chosen, identity)
        self._controller = loop.Controller(
            loop.Means(
                client=_client(Patience(moves, timeout_s=WRITE_TIMEOUT_S)),
                caches=self._caches,
                leadership=self._elector or leader.Alone(),
                time=self._time,
                random=random.random,
                told=self._told,
                decide=rollout.plan,
                policy=chosen.policy,
                writes_per_s=chosen.write_budget_per_s,
            )
        )
        self._health = serving.Server(
            (chosen.metrics_host, chosen.metrics_port),
            alive=self._alive,
            ready=self._watches.missing,
            metrics=self._metrics,
        )
        self._ends: list[threading.Thread] = []
        """Those that may have a write under way."""

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then hand over."""
        self._start()
        stop.wait()
        self._end()

    def _start(self) -> None:
        self._health.start()
        for kind, follower in self._reflectors.items():
            _thread(f"watch-{kind}", self._watch(follower))
        if self._elector is not None:
            lease = _thread("lease", lambda: self._repeat("lease", self._campaign))
            self._ends.append(lease)
        _thread("plan", lambda: self._repeat("plan", self._plan))
        self._ends += [
            _thread(f"write-{n}", lambda: self._repeat("write", self._write))
            for n in range(WRITERS)
        ]
        _log.info("started", metrics_port=self._health.port)

    def _end(self) -> None:
        """Let writes under way end, and only then let another replica lead."""
        self._stop.set()
        self._changed.set()
        with self._decided:
            self._decided.notify_all()
        for thread in self._ends:
            thread.join(DRAIN_S / WRITERS)
        if self._elector is not None and self._controller.pending.idle():
            self._elector.release()
        self._moves.close()
        self._health.stop()
        _log.info("stopped")

    def _repeat(self, name: str, step: Callable[[], None]) -> None:
        """Take steps until the end; log, count and back off when one breaks."""
        failures = 0
        while not self._stop.is_set():
            try:
                step()
                failures = 0
            except Exception:  # noqa: BLE001 - the home of the unexpected (style 17)
                failures += 1
                self._told.count(metrics.ERRORS, name)
                _log.exception("step failed", loop=name)
                self._stop.wait(SURPRISE.after(failures, random=random.random))

    def _watch(self, follower: reflector.Reflector) -> Callable[[], None]:
        return lambda: self._repeat("watch", lambda: follower.run(self._stop))

    def _campaign(self) -> None:
        elector = self._elector
        if elector is not None:
            former = elector.term()
            wait = elector.step()
            if elector.term() != former:
                self._changed.set()
            self._stop.wait(wait)

    def _plan(self) -> None:
        self._changed.clear()
        self._watches.tell()
        wait = self._controller.step()
        with self._decided:
            self._decided.notify_all()
        if self._changed.wait(min(wait, IDLE_S)):
            self._rest()

    def _rest(self) -> None:
        """Let changes come together, but for an edit: a person waits for that."""
        while not self._stop.is_set() and (left := self._controller.pause()) > 0:
            self._stop.wait(min(left, EDIT_S))

    def _write(self) -> None:
        wait = self._controller.work()
        if wait > 0 and not self._stop.is_set():
            with self._decided:
                self._decided.wait(min(max(wait, BATCH_S), IDLE_S))

    def _follow(self, client: api.Client) -> dict[str, reflector.Reflector]:
        kinds: dict[resources.Resource, reflector.Sink] = {
            resources.SHIMS: self._caches.shims,
            resources.NODES: self._caches.nodes,
            resources.NODERUNTIMES: self._caches.runtimes,
            resources.RUNTIMECLASSES: self._caches.classes,
        }
        return {
            resource.kind: reflector.Reflector(
                client,
                reflector.Source(resource),
                sink,
                now=self._time.monotonic,
                random=random.random,
                settings=reflector.Settings(gather_s=GATHER_S.get(resource, 0.0)),
            )
            for resource, sink in kinds.items()
        }

    def _elect(self, chosen: settings.Settings, identity: str) -> leader.Elector | None:
        if not chosen.leader_elect:
            return None
        return leader.Elector(
            _client(Patience(self._moves, timeout_s=LEASE_TIMEOUT_S)),
            namespace=chosen.lease_namespace,
            name=chosen.lease_name,
            identity=identity,
            time=self._time,
        )

    def _alive(self) -> str:
        silent_s = self._time.monotonic() - self._controller.stepped_at
        return f"the loop has not moved for {silent_s:.0f} s" if silent_s > STUCK_S else ""

    def _metrics(self) -> bytes:
        gauges.show(
            self._told,
            caches=self._caches,
            leadership=self._elector or leader.Alone(),
            limit=self._controller.limit,
        )
        self._watches.show(self._told)
        return self._told.text()


def _client(moves: transport.Transport) -> api.Client:
    return api.Client(moves, manager=names.MANAGER)


def _thread(name: str, target: Callable[[], None]) -> threading.Thread:
    """Start a thread that ends with the process at the latest."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread
