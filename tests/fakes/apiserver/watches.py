"""Watches: the history as lines, with bookmarks; never blocking.

An empty line says that there is nothing at the moment. A stream ends after its timeoutSeconds,
when its kind goes, and when the server is restored from a backup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from rcm_api.client import errors
from rcm_api.client.resources import Resource
from tests.fakes.apiserver import selectors
from tests.fakes.apiserver.answers import Refusal, too_old
from tests.fakes.apiserver.etcd import Change, Entry, Etcd
from tests.fakes.apiserver.kinds import Kind
from tests.fakes.apiserver.selectors import Matches

BOOKMARK_S = 60.0
"""As kubernetes, storage/cacher/cacher.go: defaultBookmarkFrequency."""
LAST_BOOKMARK_S = 2.0
"""Before a watch's end there is one more (same file)."""
TIMEOUT_S = 1800.0
"""The least that a server gives a watch without timeoutSeconds (--min-request-timeout)."""


@dataclass(slots=True)
class Weather:
    """What streams suffer; set by tests."""

    frozen: bool = False
    """Nothing comes, not even bookmarks, and nothing ends."""
    broken: bool = False
    """Connections break."""
    repeat: int = 0
    """So many events come twice."""
    bookmarks: bool = True


@dataclass(frozen=True, slots=True)
class Watch:
    """What one stream asks for."""

    kind: Kind
    namespace: str
    since: int
    timeout_s: float
    bookmarks: bool
    matches: Matches | None

    @property
    def resource(self) -> Resource:
        return self.kind.resource


def parse(kind: Kind, namespace: str, query: Mapping[str, str]) -> Watch:
    return Watch(
        kind=kind,
        namespace=namespace,
        since=int(query["resourceVersion"]),
        timeout_s=float(query.get("timeoutSeconds", TIMEOUT_S)),
        bookmarks=query.get("allowWatchBookmarks") == "true",
        matches=selectors.parse(kind, query),
    )


def lines(
    etcd: Etcd, watch: Watch, *, now: Callable[[], float], weather: Weather
) -> Iterator[bytes]:
    """Give the lines of one stream, which begins at once."""
    if watch.since < etcd.oldest:
        return iter((error(too_old(watch.since, etcd.oldest)),))
    shelf = etcd.shelf(watch.resource)
    marks = _Bookmarks(watch, began=now(), known=max(watch.since, shelf.last))
    return _follow(etcd, watch, now, weather, marks, shelf.epoch)


@dataclass(slots=True)
class _Bookmarks:
    """When the next one is due, and whether it would say anything new.

    The real server tells only newer ones than the watch began with; now and then it moves on with
    writes of other kinds (etcd's progress notifications), on which nobody may rely.
    """

    watch: Watch
    began: float
    known: int
    sent: float = 0.0

    def due(self, now: float, last: int) -> bool:
        before_end = max(0.0, self.watch.timeout_s - LAST_BOOKMARK_S)
        at = self.sent + BOOKMARK_S if self.sent else self.began + min(BOOKMARK_S, before_end)
        if not self.watch.bookmarks or now < at or last <= self.known:
            return False
        self.sent = now
        return True


def _follow(
    etcd: Etcd,
    watch: Watch,
    now: Callable[[], float],
    weather: Weather,
    marks: _Bookmarks,
    epoch: int,
) -> Iterator[bytes]:
    shelf, at = etcd.shelf(watch.resource), watch.since
    while weather.frozen or (now() < marks.began + watch.timeout_s and shelf.epoch == epoch):
        if weather.frozen:
            yield b""
            continue
        if weather.broken:
            raise errors.Unreachable("the connection broke")
        if at < etcd.trimmed:
            yield error(too_old(at, etcd.trimmed))
            return
        change = next(etcd.since(watch.resource, at), None)
        if change is not None:
            at = change.revision
            yield from _told(watch, change, weather)
            continue
        at = max(at, etcd.revision)
        if weather.bookmarks and marks.due(now(), shelf.last):
            yield _bookmark(watch.kind, shelf.last)
        yield b""


def error(refusal: Refusal) -> bytes:
    """Return an ERROR event."""
    return b'{"type":"ERROR","object":' + msgspec.json.encode(refusal.status) + b"}"


def _told(watch: Watch, change: Change, weather: Weather) -> Iterator[bytes]:
    line = _line(watch, change)
    if not line:
        return
    yield line
    if weather.repeat > 0:
        weather.repeat -= 1
        yield line


def _line(watch: Watch, change: Change) -> bytes:
    if watch.namespace and change.key[0] != watch.namespace:
        return b""
    had = change.old is not None and _seen(watch, change.old)
    if change.new is not None and _seen(watch, change.new):
        return _event("MODIFIED" if had else "ADDED", change.new)
    if not had:
        return b""
    if change.last is not None:
        return _event("DELETED", change.last)
    assert change.old is not None
    return _event("DELETED", _moved(change.old, change.revision))


def _moved(old: Entry, revision: int) -> Entry:
    """The last state that matched, with the revision at which it ceased to."""
    metadata = {**old.metadata, "resourceVersion": str(revision)}
    return Entry({**old.document, "metadata": metadata})


def _seen(watch: Watch, entry: Entry) -> bool:
    return watch.matches is None or watch.matches(entry.document)


def _event(kind: str, entry: Entry) -> bytes:
    return b'{"type":"%s","object":%s}' % (kind.encode(), entry.json)


def _bookmark(kind: Kind, revision: int) -> bytes:
    body = {
        "kind": kind.resource.kind,
        "apiVersion": kind.resource.api_version,
        "metadata": {"resourceVersion": str(revision)},
    }
    return b'{"type":"BOOKMARK","object":%s}' % msgspec.json.encode(body)
