"""What `api` answers: records, and how they are read from the server's bytes. Pure.

Of an object only what a list or a watch needs is read here; the object's own bytes go on as they
are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from rcm_api.client import errors

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


class _ListMetadata(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    next: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct, frozen=True):
    metadata: _ListMetadata
    items: list[msgspec.Raw] = []  # msgspec copies an empty default


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _Mark(msgspec.Struct, frozen=True):
    metadata: _ListMetadata


_LIST = msgspec.json.Decoder(_List)
_EVENT = msgspec.json.Decoder(_Event)
_MARK = msgspec.json.Decoder(_Mark)


def ignore(_body: bytes) -> None:
    """Decode an answer that nobody wants to read."""


def document(body: bytes) -> dict[str, Any]:
    """Decode an object whole; for tests and cold paths."""
    return msgspec.json.decode(body, type=dict[str, Any])


def decoded(path: str, decode: Decode[A], body: bytes) -> A:
    """Decode what came from a path.

    Raises:
        Garbled: it cannot be.
    """
    try:
        return decode(body)
    except msgspec.DecodeError as error:
        raise errors.Garbled(f"{path}: the answer cannot be read: {error}") from error


def page(path: str, body: bytes) -> tuple[Page, str]:
    """Read a page of a list, and the token of the next one, empty on the last.

    Raises:
        Garbled: it is none.
    """
    found = decoded(path, _LIST.decode, body)
    return Page(map(bytes, found.items), found.metadata.resource_version), found.metadata.next


def change(path: str, line: bytes) -> Change:
    """Read a line of a watch.

    Raises:
        Gone: the server cannot go on from where the watch began.
        Refused: the server ends the watch for another reason.
        Garbled: it is no event.
    """
    if not line:
        return Idle()
    event = decoded(path, _EVENT.decode, line)
    if event.type == "ERROR":
        raise errors.refused(f"WATCH {path}", status=0, headers={}, body=bytes(event.object))
    item = bytes(event.object)  # a Raw is none, and would keep its line alive
    version = decoded(path, _MARK.decode, item).metadata.resource_version
    match event.type:
        case "ADDED" | "MODIFIED":
            return Put(item, version)
        case "DELETED":
            return Drop(item, version)
        case "BOOKMARK":
            return Bookmark(version)
        case _:
            raise errors.Garbled(f"{path}: a watch event of the type {event.type[:32]!r}")
