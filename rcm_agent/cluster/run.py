"""The threads of one agent process in a cluster, from start to a clean stop.

Called by `cli`. One thread follows the object, one writes the status, downloads have their own, and
so have health and metrics; the caller's thread takes the turns. An error that nobody expected ends a
step, never a thread.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from rcm_agent.cluster import (
    claims,
    health,
    loop,
    metrics,
    mirror,
    opening,
    orphans,
    settings,
    writer,
)
from rcm_agent.host import allocator
from rcm_api import names, serving
from rcm_api.client import api, backoff, credentials, errors, reflector, resources, transport

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

MANAGER = f"{names.MANAGER}-agent"
"""Field manager of the status."""
SURPRISE = backoff.Backoff(base_s=1.0, cap_s=60.0)
"""After an error that nobody expected."""
LONG_S = 0.25
"""A turn that took longer did something; what that left in memory is given back."""
LAST_WORDS_S = 3.0
"""Given to the last status when we stop."""


class Program:
    """One process."""

    def __init__(
        self,
        moves: transport.Transport,
        logins: credentials.Credentials,
        chosen: settings.Settings,
    ) -> None:
        """Put the parts together; nothing runs yet.

        Raises:
            OSError: the address for metrics is not to be had.
        """
        self._moves = moves
        self._logins = logins
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._pulse = health.Pulse(time.monotonic)
        self._told = metrics.Metrics(self._pulse)
        client = api.Client(moves, manager=MANAGER)
        self._seen = mirror.Mirror(chosen.node, wake=self._heard)
        self._writer = writer.Writer(
            client, chosen.node, self._seen, random=random.random, observer=self._told
        )
        self._follower = _follow(client, chosen.node, self._seen)
        self._loop = loop.Loop(self._means(chosen))
        self._server = serving.Server(
            (chosen.metrics_host, chosen.metrics_port),
            alive=self._pulse.alive,
            ready=self._pulse.ready,
            metrics=self._metrics,
        )

    def run(self) -> None:
        """Work until `end`; what changes the host is ended or undone first."""
        self._server.start()
        _thread("watch", lambda: self._repeat("watch", lambda: self._follower.run(self._stop)))
        last = _thread("write", lambda: self._repeat("write", self._write))
        _log.info("started", metrics_port=self._server.port)
        self._repeat("turn", self._turn)
        self._writer.wake.set()
        last.join(LAST_WORDS_S)
        self._moves.close()
        self._server.stop()
        _log.info("stopped")

    def end(self) -> None:
        """Stop; may be called from any thread."""
        self._stop.set()
        self._wake.set()

    def _means(self, chosen: settings.Settings) -> loop.Means:
        opener = opening.Opener(chosen.host)
        return loop.Means(
            open=opener.open,
            chosen=chosen.host,
            seen=self._seen,
            offer=self._writer.offer,
            now=_now,
            wake=self._wake.set,
            observer=self._told,
            node_uid=self._node_uid,
            facts=opener.facts,
            end_orphans=orphans.end_orphans,
            stopping=self._stop.is_set,
        )

    def _heard(self) -> None:
        self._pulse.read()
        self._wake.set()

    def _metrics(self) -> bytes:
        heard = self._follower.health
        age_s = time.monotonic() - heard.heard_at if heard.synced else None
        self._told.watched(age_s, heard.failures)
        return self._told.text()

    def _node_uid(self) -> str:
        try:
            return claims.node_uid(self._logins.current().token)
        except errors.NoCredentials:
            return ""

    def _turn(self) -> None:
        self._wake.clear()
        began = time.monotonic()
        wait = self._loop.turn()
        took_s = time.monotonic() - began
        self._told.turn(took_s)
        if took_s > LONG_S:
            allocator.give_back()
        if not self._stop.is_set():
            self._wake.wait(wait)

    def _write(self) -> None:
        wait = self._writer.step()
        if wait > 0:
            self._writer.wake.wait(wait)

    def _repeat(self, name: str, step: Callable[[], None]) -> None:
        """Take steps until the end; log, count and back off when one breaks."""
        failures = 0
        while not self._stop.is_set():
            try:
                step()
                failures = 0
            except Exception as error:  # noqa: BLE001 - the home of the unexpected (style 17)
                failures += 1
                self._told.api_error(type(error).__name__)
                _log.exception("step failed", loop=name)
                self._stop.wait(SURPRISE.after(failures, random=random.random))


def _follow(client: api.Client, node: str, seen: mirror.Mirror) -> reflector.Reflector:
    return reflector.Reflector(
        client,
        reflector.Source(resources.NODERUNTIMES, api.Selection(fields=f"metadata.name={node}")),
        seen,
        now=time.monotonic,
        random=random.random,
        settings=reflector.Settings(
            limits=api.WatchLimits(settings.WATCH_S, settings.SILENCE_S),
            backoff=backoff.Backoff(cap_s=settings.BACKOFF_S),
        ),
    )


def _thread(name: str, target: Callable[[], None]) -> threading.Thread:
    """Start a thread that ends with the process at the latest."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread


def _now() -> datetime:
    """Return the time of day; whole seconds, as Kubernetes writes them."""
    return datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 - the one door
