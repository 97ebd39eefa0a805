"""Keeps somebody's view of one kind of object up to date: list, then watch, for ever.

The controller and the agent each own some. A reflector is a generator of pauses: each step does
one thing (a list, one event) and yields how long to wait before the next. A thread runs it with
`run`; a simulation takes the steps itself, on one thread, with its own clock.

what happens                       what is done
---------------------------------  ------------------------------------------------
a watch ends at its time           watch again from the last resourceVersion seen
it ends early, breaks, is silent   ask for the server's resourceVersion; watch again
410                                list anew
resourceVersion went back          list anew: etcd was restored from a backup, and a
                                   watch from the future is told nothing, for ever
any failure                        first wait: backoff, jitter, Retry-After

A server that was restored from a backup and had overtaken us when we looked is not noticed; etcdutl
restores with --bump-revision so that clients notice.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Protocol

from rcm_api.client import api, backoff, errors
from rcm_api.client.resources import Resource

POLL_S = 0.05
"""Pause when a transport that never blocks has nothing; real ones block instead."""
SHORT_S = 1.0
"""A watch that ends sooner, with nothing said, is a failure (as client-go's reflector)."""
EARLY_S = 5.0
"""Before its time; servers end watches within a second of it."""
BLOCKED_S = 0.002
"""A change that took so long to come was waited for: nothing else is on its way."""
SPREAD = 0.2
"""Watches last up to this share less than they may, so that those of many nodes part."""


class Sink(Protocol):
    """Whose view it is. Called from one thread; an object may come twice.

    Between two `replace` objects never go back in time; a `replace` may, when the server did.
    """

    def replace(self, items: Iterable[bytes], *, version: str) -> None:
        """Take all that is there; whatever is not among `items` is gone.

        They are read from the server while they are iterated, which may raise: change nothing
        before the last one came.
        """
        ...

    def put(self, item: bytes) -> None:
        """Take a new or changed object."""
        ...

    def drop(self, item: bytes) -> None:
        """Forget an object; this was its last state."""
        ...

    def at(self, version: str) -> None:
        """Note that everything up to this resourceVersion was told."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """What is followed."""

    resource: Resource
    selection: api.Selection = api.EVERYTHING


@dataclass(frozen=True, slots=True)
class Settings:
    """The patience of a reflector."""

    limits: api.WatchLimits = field(default_factory=api.WatchLimits)
    backoff: backoff.Backoff = field(default_factory=backoff.Backoff)
    gather_s: float = 0.0
    """After a change that was waited for: let those that follow come together. A heartbeat of a
    Node costs 0.3 ms of CPU alone and 0.06 ms in company, whose caches it finds warm."""


@dataclass(slots=True)
class Health:
    """What to show of a reflector; written by its thread, read by any."""

    synced: bool = False
    """A first list was taken; it stays so."""
    heard_at: float = 0.0
    """When the server last said something, by the reflector's clock."""
    lists: int = 0
    watches: int = 0
    failures: int = 0
    """Since a watch last said something: a list alone does not count as recovery, or a server
    that refuses each watch would be listed again and again."""
    error: errors.ApiError | None = None
    """The last failure, None while all is well."""


class Reflector:
    """Follows one kind of object."""

    def __init__(
        self,
        client: api.Client,
        source: Source,
        sink: Sink,
        *,
        now: Callable[[], float],
        random: backoff.Random,
        settings: Settings | None = None,
    ) -> None:
        """Follow `source` into `sink`; `now` is a monotonic clock in seconds."""
        self._client = client
        self._what = (source.resource, source.selection)
        self._sink = sink
        self._now = now
        self._random = random
        self._settings = settings or Settings()
        self._version = ""
        self._doubt = False
        """The server may have been restored from a backup since the last watch."""
        self.health = Health()

    def run(self, stop: Event) -> None:
        """Follow until `stop` is set; a blocked read ends when the transport is closed."""
        with contextlib.closing(self.steps()) as steps:
            for pause_s in steps:
                if stop.wait(pause_s):
                    return

    def steps(self) -> Generator[float]:
        """Take one step at a time, for ever; yield the seconds to wait before the next."""
        while True:
            try:
                if self._doubt and self._version:
                    self._refuse_the_past(self._client.version(*self._what))
                    yield 0.0
                if not self._version:
                    self._list()
                    yield 0.0
                self._doubt = False
                yield from self._watch()
            except errors.Gone as error:
                self._version = ""
                yield self._failed(error)
            except errors.ApiError as error:
                self._doubt = True
                yield self._failed(error)

    def _list(self) -> None:
        self.health.lists += 1
        pages = self._client.pages(*self._what)
        first = next(pages)
        items = (item for page in itertools.chain((first,), pages) for item in page.items)
        self._sink.replace(items, version=first.resource_version)
        self._version = first.resource_version
        self.health.synced = True
        self.health.heard_at = self._now()

    def _watch(self) -> Generator[float]:
        self.health.watches += 1
        resource, selection = self._what
        limits = self._settings.limits
        limits = replace(limits, duration_s=limits.duration_s * (1 - SPREAD * self._random()))
        began = heard = asked = self._now()
        said = 0
        with self._client.watch(
            resource, since=self._version, selection=selection, limits=limits
        ) as changes:
            for change in changes:
                if isinstance(change, api.Idle):
                    self._refuse_silence(heard)
                    yield POLL_S
                    asked = self._now()
                    continue
                said += 1
                heard = self._now()
                self._take(change)
                yield self._settings.gather_s if heard - asked > BLOCKED_S else 0.0
                asked = self._now()
        lasted = self._now() - began
        if not said and lasted < SHORT_S:
            raise errors.Unreachable(f"{resource.path()}: the watch ended at once")
        self._doubt = lasted < limits.duration_s - EARLY_S
        self._heard()
        yield 0.0

    def _take(self, change: api.Put | api.Drop | api.Bookmark) -> None:
        self._advance(change.resource_version)
        match change:
            case api.Put(item):
                self._sink.put(item)
            case api.Drop(item):
                self._sink.drop(item)
            case api.Bookmark(version):
                self._sink.at(version)
        self._heard()

    def _advance(self, version: str) -> None:
        self._refuse_the_past(version)
        self._version = version

    def _refuse_the_past(self, version: str) -> None:
        if went_back(version, self._version):
            self._version = ""
            path = self._what[0].path()
            raise errors.Unreachable(f"{path}: resourceVersion went back to {version[:32]}")

    def _refuse_silence(self, heard: float) -> None:
        silence_s = self._now() - heard
        if silence_s > self._settings.limits.silence_s:
            path = self._what[0].path()
            raise errors.Frozen(f"{path}: the watch said nothing for {silence_s:.0f} s")

    def _heard(self) -> None:
        self.health.heard_at = self._now()
        self.health.failures = 0
        self.health.error = None

    def _failed(self, error: errors.ApiError) -> float:
        self.health.failures += 1
        self.health.error = error
        return self._settings.backoff.after(
            self.health.failures, random=self._random, wish_s=error.retry_after_s
        )


def went_back(version: str, former: str) -> bool:
    """Tell whether a resourceVersion is older than another.

    They are opaque by the rules up to Kubernetes 1.34 and comparable integers from 1.35 on
    (KEP-5504); etcd's revisions were integers all along. Of others nothing is said.
    """
    if not (version.isdecimal() and former.isdecimal()):
        return False
    return int(version) < int(former)
