"""From a request to an answer: the `Transport` that everything else of the model hangs on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from rcm_api.client import errors, transport
from rcm_api.client.resources import Resource
from tests.fakes.apiserver import answers, kinds, lists, watches
from tests.fakes.apiserver.answers import JSON, Refusal, Unsupported
from tests.fakes.apiserver.etcd import Entry, Etcd
from tests.fakes.apiserver.kinds import Document, Kind
from tests.fakes.apiserver.rules import Target
from tests.fakes.apiserver.writes import Writer

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"
_ONLY_METADATA = "as=PartialObjectMetadata"
_LIST_QUERY = {"limit", "continue", "labelSelector", "fieldSelector"}
_WATCH_QUERY = {
    "watch",
    "allowWatchBookmarks",
    "resourceVersion",
    "timeoutSeconds",
    "labelSelector",
    "fieldSelector",
}
_WRITE_QUERY = {"fieldManager"}


class Server:
    """An API server. `now` counts seconds from `EPOCH`; one lock makes it safe for threads."""

    def __init__(
        self, kinds_: Iterable[Kind] = kinds.USUAL, *, now: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.etcd = Etcd()
        self.stale = 0
        """Lists tell the state of so many revisions ago."""
        self.weather: dict[Resource, watches.Weather] = {}
        """What the streams of each kind suffer."""
        self._now = now
        self._writer = Writer(self.etcd, time=self._time)
        self._kinds: dict[str, Kind] = {}
        self._lock = threading.RLock()
        self._closed = False
        for kind in kinds_:
            self.define(kind)

    # What tests do to it.

    @property
    def namespaces(self) -> set[str]:
        """Those that are there; add to it."""
        return self._writer.namespaces

    def define(self, kind: Kind) -> None:
        """Serve a kind; one that was undefined comes back without objects."""
        with self._lock:
            self._kinds[kind.resource.path()] = kind
            self.etcd.add(kind.resource)
            self.weather.setdefault(kind.resource, watches.Weather())

    def undefine(self, resource: Resource) -> None:
        """Delete a kind's definition, and so all its objects."""
        with self._lock:
            shelf = self.etcd.shelf(resource)
            for key in list(shelf.objects):
                self.etcd.delete(resource, key)
            shelf.present = False
            shelf.epoch += 1

    def compact(self) -> None:
        """Forget the history: older watches and continue tokens get 410."""
        with self._lock:
            self.etcd.compact()

    def restore(self, revision: int, *, bump: int = 0) -> None:
        """Go back to a backup of etcd; without `bump` revisions are given out a second time."""
        with self._lock:
            self.etcd.restore(revision, bump=bump)

    def document(self, resource: Resource, name: str, namespace: str = "") -> Document | None:
        """Return an object, not to be changed; None: there is none."""
        entry = self.etcd.get(resource, (namespace, name))
        return None if entry is None else entry.document

    def documents(self, resource: Resource) -> list[Document]:
        """Return all objects of a kind by name, not to be changed."""
        objects = self.etcd.shelf(resource).objects
        return [objects[key].document for key in sorted(objects)]

    # What clients do to it.

    def send(self, request: transport.Request) -> transport.Response:
        """Answer."""
        with self._lock:
            self._refuse_closed()
            try:
                return self._answer(request)
            except Refusal as refusal:
                return refusal.response()

    @contextlib.contextmanager
    def stream(self, request: transport.Request) -> Generator[Iterator[bytes]]:
        """Open a watch."""
        with self._lock:
            self._refuse_closed()
            try:
                found = self._watch(request)
            except Refusal as refusal:
                raise _as_error(refusal, request) from refusal
        yield self._locked(found)

    def close(self) -> None:
        """End all streams, and refuse what is asked from now on."""
        self._closed = True

    def _refuse_closed(self) -> None:
        if self._closed:
            raise errors.Unreachable("this client was closed")

    def _locked(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        while True:
            with self._lock:
                self._refuse_closed()
                line = next(lines, None)
            if line is None:
                return
            yield line

    def _watch(self, request: transport.Request) -> Iterator[bytes]:
        target = self._target(request.path)
        if request.query.get("watch") != "true" or target.name:
            raise Unsupported(f"stream of {request.path}")
        _known(request, _WATCH_QUERY)
        watch = watches.parse(target.kind, target.namespace, request.query)
        weather = self.weather[target.resource]
        return watches.lines(self.etcd, watch, now=self._now, weather=weather)

    def _answer(self, request: transport.Request) -> transport.Response:
        target = self._target(request.path)
        match request.method, bool(target.name):
            case "GET", True:
                return _shown(request, self._writer.present(target), 200)
            case "GET", False:
                return self._list(request, target)
            case "POST", False:
                entry = self._writer.create(target, _body(request), _manager(request))
                return _shown(request, entry, 201)
            case "PUT", True:
                entry = self._writer.replace(target, _body(request), _manager(request))
                return _shown(request, entry, 200)
            case "PATCH", True:
                return self._patch(request, target)
            case "DELETE", True:
                _known(request, set())
                options = _body(request) if request.body else {}
                said = self._writer.delete(target, options)
                return transport.Response(200, JSON, msgspec.json.encode(said))
            case _:
                raise Unsupported(f"{request.method} {request.path}")

    def _list(self, request: transport.Request, target: Target) -> transport.Response:
        _known(request, _LIST_QUERY)
        body = lists.answer(self.etcd, target.kind, target.namespace, request.query, self.stale)
        return transport.Response(200, JSON, body)

    def _patch(self, request: transport.Request, target: Target) -> transport.Response:
        body = _body(request)
        match request.content_type:
            case kind if kind == _MERGE:
                entry = self._writer.merge(target, body, _manager(request))
            case kind if kind == _APPLY:
                force = request.query.get("force") == "true"
                entry = self._writer.apply(target, body, _manager(request), force=force)
            case other:
                raise Unsupported(f"patch of the type {other}")
        return _shown(request, entry, 200)

    def _target(self, path: str) -> Target:
        words = path.strip("/").split("/")
        head = 2 if words[0] == "api" else 3
        root, rest = "/" + "/".join(words[:head]), words[head:]
        namespace = rest[1] if rest[:1] == ["namespaces"] and len(rest) > 2 else ""
        rest = rest[2:] if namespace else rest
        kind = self._kinds.get(f"{root}/{rest[0]}") if rest else None
        if kind is None or len(rest) > 3:
            raise Unsupported(path)
        name, subresource = (*rest[1:], "", "")[:2]
        if not self.etcd.shelf(kind.resource).present:
            raise answers.no_kind()
        if bool(namespace) != kind.resource.namespaced and (name or namespace):
            raise Unsupported(f"{path}: namespaced or not?")
        if subresource and not (subresource == "status" and kind.status):
            raise Unsupported(path)
        return Target(kind, namespace, name, subresource)

    def _time(self) -> str:
        return f"{EPOCH + timedelta(seconds=int(self._now())):%Y-%m-%dT%H:%M:%SZ}"


def _known(request: transport.Request, names: set[str]) -> None:
    if unknown := set(request.query) - names:
        raise Unsupported(f"{request.method} {request.path} with {sorted(unknown)}")


def _manager(request: transport.Request) -> str:
    _known(request, {*_WRITE_QUERY, "force"} if request.method == "PATCH" else _WRITE_QUERY)
    return request.query.get("fieldManager") or "unknown"


def _body(request: transport.Request) -> Document:
    try:
        return msgspec.json.decode(request.body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise answers.bad(f"the body of the request cannot be read: {error}") from error


def _shown(request: transport.Request, entry: Entry, status: int) -> transport.Response:
    if _ONLY_METADATA not in request.accept:
        return transport.Response(status, JSON, entry.json)
    head = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    body = msgspec.json.encode({**head, "metadata": entry.metadata})
    return transport.Response(status, JSON, body)


def _as_error(refusal: Refusal, request: transport.Request) -> errors.Refused:
    said = refusal.response()
    what = f"WATCH {request.path}"
    return errors.refused(what, status=said.status, headers=said.headers, body=said.body)
