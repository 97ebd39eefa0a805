"""Many stand-in agents on a few threads, against any API client: for real API servers and benches.

    agents = agents.Agents(client, nodes)
    with agents.running(threads=4):
        reflector.Reflector(client, Source(NODERUNTIMES), agents, ...).run(stop)

One watch for all of them, a heap of due times, and a status patch where something changed.
"""

from __future__ import annotations

import contextlib
import heapq
import threading
import time
from collections.abc import Generator, Iterable
from datetime import UTC, datetime

import msgspec

from rcm_api import noderuntime
from rcm_api.client import api, errors, resources
from tests.fakes import standin

RETRY_S = 1.0
IDLE_S = 0.5
"""A worker looks for the end at least so often."""


class Agents:
    """A `Sink` of a reflector of NodeRuntimes, and the agents of their nodes."""

    def __init__(self, client: api.Client, nodes: Iterable[standin.NodeState]) -> None:
        """Take over nodes; nothing runs yet."""
        self._client = client
        self.nodes = {node.name: node for node in nodes}
        self._runtimes: dict[str, noderuntime.NodeRuntime] = {}
        self._due: list[tuple[float, str]] = []
        self._planned: dict[str, float] = {}
        self._busy: set[str] = set()
        self._lock = threading.Condition()
        self._stop = False
        self.writes = 0
        self.refused = 0

    def replace(self, items: Iterable[bytes], *, version: str) -> None:  # noqa: ARG002 - of Sink
        """Take a list."""
        for item in items:
            self.put(item)

    def put(self, item: bytes) -> None:
        """Take an object, and have its agent look at it."""
        with self._lock:
            self._keep(noderuntime.parse(item))

    def _keep(self, found: noderuntime.NodeRuntime) -> None:
        """Know the newer one of two states; a changed spec is a reason to look."""
        known = self._runtimes.get(found.name)
        if known is None or known.metadata.uid != found.metadata.uid:
            self._runtimes[found.name] = found
            self._plan(found.name, time.monotonic())
        elif _version(found) > _version(known):
            self._runtimes[found.name] = found
            if known.spec != found.spec:
                self._plan(found.name, time.monotonic())

    def drop(self, item: bytes) -> None:
        """Forget an object."""
        with self._lock:
            self._runtimes.pop(noderuntime.parse(item).name, None)

    def at(self, version: str) -> None:
        """Take no note of a bookmark."""

    @contextlib.contextmanager
    def running(self, *, threads: int) -> Generator[None]:
        """Let them work."""
        workers = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        for worker in workers:
            worker.start()
        try:
            yield
        finally:
            with self._lock:
                self._stop = True
                self._lock.notify_all()
            for worker in workers:
                worker.join()

    def _plan(self, name: str, at: float) -> None:
        if name in self.nodes and self._planned.get(name, float("inf")) > at:
            self._planned[name] = at
            heapq.heappush(self._due, (at, name))
            self._lock.notify()

    def _work(self) -> None:
        while (name := self._next()) is not None:
            try:
                self._look(name)
            finally:
                with self._lock:
                    self._busy.discard(name)

    def _next(self) -> str | None:
        """Wait for a node that is due; None: the end."""
        with self._lock:
            while not self._stop:
                wait = self._pop()
                if isinstance(wait, str):
                    return wait
                self._lock.wait(min(wait, IDLE_S))
        return None

    def _pop(self) -> str | float:
        now = time.monotonic()
        while self._due:
            at, name = self._due[0]
            if at > now:
                return at - now
            heapq.heappop(self._due)
            if self._planned.get(name) != at:
                continue
            del self._planned[name]
            if name in self._busy:
                self._plan(name, now + 0.05)
                continue
            self._busy.add(name)
            return name
        return IDLE_S

    def _look(self, name: str) -> None:
        with self._lock:
            runtime = self._runtimes.get(name)
        if runtime is None:
            return
        now = datetime.now(UTC)
        self.nodes[name], status = standin.step(self.nodes[name], runtime, now)
        again = standin.due(self.nodes[name], now)
        delay = None if again is None else max(0.0, (again - now).total_seconds())
        if status is not None and not self._tell(name, status):
            delay = RETRY_S
        if delay is not None:
            with self._lock:
                self._plan(name, time.monotonic() + delay)

    def _tell(self, name: str, status: noderuntime.Status) -> bool:
        """Write a status; lists that have become empty must be said in a merge patch."""
        empty: dict[str, object] = {"shims": [], "conditions": []}
        body = {"status": empty | msgspec.to_builtins(status)}
        patch = api.Patch(body, subresource="status")
        try:
            found = self._client.patch(
                resources.NODERUNTIMES, name, patch, decode=noderuntime.parse
            )
        except errors.NotFound:
            return True
        except errors.ApiError:
            self.refused += 1
            return False
        with self._lock:
            self.writes += 1
            if name in self._runtimes:
                self._keep(found)
        return True


def _version(runtime: noderuntime.NodeRuntime) -> int:
    return int(runtime.metadata.resource_version)
