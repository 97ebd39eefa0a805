"""Questions to the API server, one function per kind of question.

Objects come as bytes, one at a time, or go to a decoder that the caller gives: no generated models,
no dictionaries in between, and one object that cannot be read is the caller's to show. A list is
read in pages, a watch with bookmarks. Nothing is tried again here, and nothing waits: `reflector`
and the callers' loops do that, with a clock that can be replaced.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Mapping

import msgspec

from rcm_api.client import answers, errors, transport
from rcm_api.client.answers import (
    A,
    Bookmark,
    Change,
    Decode,
    Drop,
    Idle,
    Page,
    Put,
    document,
    ignore,
)
from rcm_api.client.questions import (
    APPLY,
    EVERYTHING,
    MERGE,
    METADATA,
    Patch,
    Selection,
    WatchLimits,
)
from rcm_api.client.resources import Resource

__all__ = [
    "APPLY",
    "EVERYTHING",
    "MERGE",
    "METADATA",
    "PAGE",
    "Bookmark",
    "Change",
    "Client",
    "Decode",
    "Drop",
    "Idle",
    "Page",
    "Patch",
    "Put",
    "Selection",
    "WatchLimits",
    "document",
    "ignore",
]

PAGE = 500
"""Objects per page, as client-go's: 6 MB of Nodes at 12 KB."""


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
        return answers.decoded(path, decode, self._ask("GET", path))

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
            page, following = answers.page(path, self._ask("GET", path, query=query))
            yield page
            if not following:
                return
            query = {**query, "continue": following}

    def version(self, resource: Resource, selection: Selection = EVERYTHING) -> str:
        """Return the server's resourceVersion of now, by a list of one object.

        Raises:
            ApiError: another answer, or none.
        """
        path = resource.path(namespace=selection.namespace)
        query = {**selection.query(), "limit": "1"}
        page, _ = answers.page(path, self._ask("GET", path, query=query))
        return page.resource_version

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
            yield (answers.change(path, line) for line in lines)

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
        return answers.decoded(path, decode, self._ask("POST", path, query=query, body=body))

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
        return answers.decoded(path, decode, answer)

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
        return answers.decoded(path, decode, self._ask("PUT", path, query=query, body=body))

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
        return tuple(answers.decoded(path, decode, item) for page in pages for item in page.items)

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


_ERROR = 400
