"""Questions to the API server, one function per kind of question.

Objects come as bytes, one at a time, or go to a decoder that the caller gives: no generated models,
no dictionaries in between, and one object that cannot be read is the caller's to show. A list is
read in pages, a watch with bookmarks. Nothing is tried again here, and nothing waits: `reflector`
and the callers' loops do that, with a clock that can be replaced.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from rcm_api.client import errors, transport
from rcm_api.client.resources import Resource

PAGE = 500
"""Objects per page, as client-go's: 6 MB of Nodes at 12 KB."""
MERGE: Final = "application/merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"
"""JSON is YAML; older servers (< 1.30) know no other name for server-side apply."""
METADATA: Final = f"{transport.JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""Asks for an answer that is the object's metadata only: a Node has 12 KB besides."""


A = TypeVar("A")
Decode = Callable[[bytes], A]
"""For example `msgspec.json.Decoder(NodeRuntime).decode`."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list."""

    items: Iterable[bytes]
    """To be iterated once."""
    resource_version: str
    """Of the whole list, the same on each page: a watch from here on misses nothing."""


@dataclass(frozen=True, slots=True)
class Put:
    """An object was added or changed; which one of both is not to be relied on."""

    item: bytes
    resource_version: str


@dataclass(frozen=True, slots=True)
class Drop:
    """An object was deleted, or does not match any more; this was its last state."""

    item: bytes
    resource_version: str


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Nothing happened, and the stream lives; later watches may begin here."""

    resource_version: str


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing at the moment; only transports that never block say so."""


Change = Put | Drop | Bookmark | Idle


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a kind."""

    namespace: str = ""
    labels: str = ""
    """A label selector as text, `a=b,c!=d`."""
    fields: str = ""
    """A field selector, `metadata.name=worker-1`."""

    def query(self) -> dict[str, str]:
        """Return the parts of a URL's query."""
        found = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {key: value for key, value in found.items() if value}


EVERYTHING = Selection()


@dataclass(frozen=True, slots=True)
class Patch:
    """A change of one object."""

    body: object
    """What `msgspec` can encode. With `metadata.resourceVersion` in it, the server refuses unless
    the object is in that state (`Conflict`). With `metadata.uid`, it refuses unless the object is
    that one (`Invalid`: the field is immutable), but for the status of a custom resource, of whose
    metadata it looks at the resourceVersion only."""
    kind: str = MERGE
    force: bool = False
    """Server-side apply only: take fields over from other managers."""
    subresource: str = ""
    """`status`, or empty."""


class Client:
    """One program's way to one API server; safe to use in several threads."""

    def __init__(self, moves: transport.Transport, *, manager: str) -> None:
        """Ask through `moves`; `manager` is whom the server notes as the writer of fields."""
        self._moves = moves
        self._manager = manager

    def get(self, resource: Resource, name: str, *, decode: Decode[A], namespace: str = "") -> A:
        """Return one object.

        Raises:
            NotFound: there is none.
            ApiError: another answer, or none.
        """
        path = resource.path(name, namespace=namespace)
        return _decoded(path, decode, self._ask("GET", path))

    def list(
        self, resource: Resource, *, decode: Decode[A], selection: Selection = EVERYTHING
    ) -> tuple[A, ...]:
        """Return all objects; a list that took too long is begun once more.

        Raises:
            Gone: the continue token expired twice.
            ApiError: another answer, or none.
        """
        try:
            return self._all(resource, decode, selection)
        except errors.Gone:  # the server compacts every 5 minutes
            return self._all(resource, decode, selection)

    def pages(self, resource: Resource, selection: Selection = EVERYTHING) -> Iterator[Page]:
        """Read all objects page by page, so that never more than one is in memory.

        Raises:
            Gone: the continue token expired: begin anew.
            ApiError: another answer, or none.
        """
        path = resource.path(namespace=selection.namespace)
        query = {**selection.query(), "limit": str(PAGE)}
        while True:
            page = _decoded(path, _PAGE.decode, self._ask("GET", path, query=query))
            yield Page(map(bytes, page.items), page.metadata.resource_version)
            if not page.metadata.next:
                return
            query = {**query, "continue": page.metadata.next}

    def version(self, resource: Resource, selection: Selection = EVERYTHING) -> str:
        """Return the server's resourceVersion of now, by a list of one object.

        Raises:
            ApiError: another answer, or none.
        """
        path = resource.path(namespace=selection.namespace)
        query = {**selection.query(), "limit": "1"}
        page = _decoded(path, _PAGE.decode, self._ask("GET", path, query=query))
        return page.metadata.resource_version

    @contextlib.contextmanager
    def watch(
        self,
        resource: Resource,
        *,
        since: str,
        selection: Selection = EVERYTHING,
        limits: WatchLimits | None = None,
    ) -> Generator[Iterator[Change]]:
        """Open a stream of changes after the resourceVersion `since`.

        The server ends it after `limits.duration_s`; then the iterator ends.

        Raises:
            Gone: `since` is too old; while iterating too.
            Frozen: nothing came for `limits.silence_s`, not even a bookmark.
            ApiError: another answer, or none.
        """
        limits = limits or WatchLimits()
        query = {
            **selection.query(),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "timeoutSeconds": str(round(limits.duration_s)),
        }
        path = resource.path(namespace=selection.namespace)
        request = transport.Request("GET", path, query=query, timeout_s=limits.silence_s)
        with self._moves.stream(request) as lines:
            yield (_change(path, line) for line in lines)

    def create(
        self,
        resource: Resource,
        body: object,
        *,
        decode: Decode[A],
        namespace: str = "",
    ) -> A:
        """Create an object; return it as the server keeps it.

        Raises:
            AlreadyExists: one of that name is there, perhaps ours of a try whose answer was lost.
            Invalid: the server does not take it.
            ApiError: another answer, or none.
        """
        path = resource.path(namespace=namespace)
        query = {"fieldManager": self._manager}
        return _decoded(path, decode, self._ask("POST", path, query=query, body=body))

    def patch(
        self,
        resource: Resource,
        name: str,
        patch: Patch,
        *,
        decode: Decode[A],
        namespace: str = "",
        accept: str = transport.JSON,
    ) -> A:
        """Change an object; return it as it is now.

        Raises:
            Conflict: a precondition failed, or another manager owns a field (server-side apply).
            NotFound: there is none; server-side apply creates it.
            ApiError: another answer, or none.
        """
        path = resource.path(name, namespace=namespace, subresource=patch.subresource)
        query = {"fieldManager": self._manager}
        if patch.force:
            query["force"] = "true"
        answer = self._send(
            transport.Request(
                "PATCH",
                path,
                query=query,
                body=msgspec.json.encode(patch.body),
                content_type=patch.kind,
                accept=accept,
            )
        )
        return _decoded(path, decode, answer)

    def replace(
        self, resource: Resource, name: str, body: object, *, decode: Decode[A], namespace: str = ""
    ) -> A:
        """Write a whole object over another; the body's resourceVersion is the precondition.

        Raises:
            Conflict: the object has changed since.
            ApiError: another answer, or none.
        """
        path = resource.path(name, namespace=namespace)
        query = {"fieldManager": self._manager}
        return _decoded(path, decode, self._ask("PUT", path, query=query, body=body))

    def delete(
        self,
        resource: Resource,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        namespace: str = "",
    ) -> None:
        """Delete an object; with finalizers it stays until they are gone.

        Raises:
            Conflict: it is another one than `uid`, or in another state than `resource_version`.
            NotFound: there is none.
            ApiError: another answer, or none.
        """
        wanted = {"uid": uid, "resourceVersion": resource_version}
        conditions = {key: value for key, value in wanted.items() if value}
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            **({"preconditions": conditions} if conditions else {}),
        }
        self._ask("DELETE", resource.path(name, namespace=namespace), body=body)

    def _all(self, resource: Resource, decode: Decode[A], selection: Selection) -> tuple[A, ...]:
        path = resource.path(namespace=selection.namespace)
        pages = self.pages(resource, selection)
        return tuple(_decoded(path, decode, item) for page in pages for item in page.items)

    def _ask(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: object = None
    ) -> bytes:
        data = b"" if body is None else msgspec.json.encode(body)
        return self._send(transport.Request(method, path, query=query or {}, body=data))

    def _send(self, request: transport.Request) -> bytes:
        answer = self._moves.send(request)
        if answer.status < _ERROR:
            return answer.body
        raise errors.refused(
            f"{request.method} {request.path}",
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
        )


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """How long a watch may last, and be silent."""

    duration_s: float = 75.0
    """Asked of the server, whose orderly end is the proof that the watch lived. Bookmarks are none:
    the server sends them about each minute, but only newer ones than the watch began with
    (kubernetes 1.36, storage/cacher/cache_watcher.go, process), so a kind to which nothing happens
    may be silent for ever. A request per kind in 75 s is cheaper than a list for a false alarm."""
    silence_s: float = 95.0
    """More than `duration_s`, and little enough to look again within R10's 120 s."""


_ERROR = 400


class _PageMetadata(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    next: str = msgspec.field(name="continue", default="")


class _Page(msgspec.Struct, frozen=True):
    metadata: _PageMetadata
    items: list[msgspec.Raw] = []  # msgspec copies an empty default


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _Mark(msgspec.Struct, frozen=True):
    metadata: _PageMetadata


_PAGE = msgspec.json.Decoder(_Page)
_EVENT = msgspec.json.Decoder(_Event)
_MARK = msgspec.json.Decoder(_Mark)


def ignore(_body: bytes) -> None:
    """Decode an answer that nobody wants to read."""


def document(body: bytes) -> dict[str, Any]:
    """Decode an object whole; for tests and cold paths."""
    return msgspec.json.decode(body, type=dict[str, Any])


def _decoded(path: str, decode: Decode[A], body: bytes) -> A:
    try:
        return decode(body)
    except msgspec.DecodeError as error:
        raise errors.Garbled(f"{path}: the answer cannot be read: {error}") from error


def _change(path: str, line: bytes) -> Change:
    if not line:
        return Idle()
    event = _decoded(path, _EVENT.decode, line)
    if event.type == "ERROR":
        raise errors.refused(f"WATCH {path}", status=0, headers={}, body=bytes(event.object))
    item = bytes(event.object)  # a Raw is none, and would keep its line alive
    version = _decoded(path, _MARK.decode, item).metadata.resource_version
    match event.type:
        case "ADDED" | "MODIFIED":
            return Put(item, version)
        case "DELETED":
            return Drop(item, version)
        case "BOOKMARK":
            return Bookmark(version)
        case _:
            raise errors.Garbled(f"{path}: a watch event of the type {event.type[:32]!r}")
