"""Objects, their revisions, and the history that watches and pages read.

One revision counts through all kinds, as etcd's does. An object is never changed in place: each
write makes a new `Entry`, with its JSON made once.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from rcm_api.client.resources import Resource
from tests.fakes.apiserver.changes import Owners
from tests.fakes.apiserver.kinds import Document

Key = tuple[str, str]
"""Namespace and name."""


class Entry:
    """One state of one object."""

    def __init__(self, document: Document, owners: Owners | None = None) -> None:
        self.document = document
        self.owners: Owners = owners or {}

    @property
    def metadata(self) -> Document:
        found: Document = self.document["metadata"]
        return found

    @property
    def revision(self) -> int:
        return int(self.metadata["resourceVersion"])

    @cached_property
    def json(self) -> bytes:
        return msgspec.json.encode(self.document)


@dataclass(frozen=True, slots=True)
class Change:
    """One write, as watches tell it."""

    revision: int
    key: Key
    old: Entry | None
    new: Entry | None
    """None: deleted."""
    last: Entry | None = None
    """Of a deletion: the last state, with the deletion's revision."""


@dataclass(slots=True)
class Shelf:
    """All objects of one kind."""

    objects: dict[Key, Entry] = field(default_factory=dict[Key, Entry])
    history: list[Change] = field(default_factory=list[Change])
    last: int = 1
    """Revision of the last change."""
    present: bool = True
    """False: the kind is not, or no longer, defined."""
    epoch: int = 0
    """Raised when every watch must end."""


class Etcd:
    """The store."""

    def __init__(self) -> None:
        self.revision = 1
        self.oldest = 1
        """New watches, and pages, cannot go back before this one."""
        self.trimmed = 1
        """Open watches cannot either: the history before it is gone."""
        self._shelves: dict[Resource, Shelf] = {}

    def add(self, resource: Resource) -> None:
        self._shelves.setdefault(resource, Shelf()).present = True

    def shelf(self, resource: Resource) -> Shelf:
        return self._shelves[resource]

    def shelves(self) -> Iterator[Shelf]:
        yield from self._shelves.values()

    def get(self, resource: Resource, key: Key) -> Entry | None:
        return self._shelves[resource].objects.get(key)

    def put(self, resource: Resource, key: Key, document: Document, owners: Owners) -> Entry:
        """Write an object; it gets the next revision."""
        shelf = self._shelves[resource]
        entry = Entry(self._stamped(document), owners)
        shelf.history.append(Change(self.revision, key, shelf.objects.get(key), entry))
        shelf.last = self.revision
        shelf.objects[key] = entry
        return entry

    def delete(self, resource: Resource, key: Key) -> Entry:
        """Delete an object; return its last state, with the deletion's revision."""
        shelf = self._shelves[resource]
        old = shelf.objects.pop(key)
        last = Entry(self._stamped(old.document))
        shelf.history.append(Change(self.revision, key, old, None, last))
        shelf.last = self.revision
        return last

    def since(self, resource: Resource, revision: int) -> Iterator[Change]:
        """Give the changes of a kind after a revision."""
        history = self._shelves[resource].history
        begin = bisect.bisect_right(history, revision, key=lambda change: change.revision)
        yield from history[begin:]

    def at(self, resource: Resource, revision: int) -> dict[Key, Entry]:
        """Return a kind's objects as they were at a revision."""
        found = dict(self._shelves[resource].objects)
        for change in reversed(list(self.since(resource, revision))):
            if change.old is None:
                found.pop(change.key, None)
            else:
                found[change.key] = change.old
        return found

    def compact(self) -> None:
        """Forget the history; open watches still get what they have not read since the last time."""
        self.trimmed, self.oldest = self.oldest, self.revision
        for shelf in self._shelves.values():
            shelf.history = [c for c in shelf.history if c.revision > self.trimmed]

    def restore(self, revision: int, *, bump: int = 0) -> None:
        """Go back to a backup: later writes never happened, and their revisions come again.

        With `bump` they do not (etcdutl snapshot restore --bump-revision --mark-compacted).
        """
        for resource, shelf in self._shelves.items():
            shelf.objects = self.at(resource, revision)
            shelf.history.clear()
            shelf.last = min(shelf.last, revision)
            shelf.epoch += 1
        self.revision = self.revision + bump if bump else revision
        self.oldest = self.trimmed = self.revision

    def _stamped(self, document: Document) -> dict[str, Any]:
        self.revision += 1
        metadata = {**document["metadata"], "resourceVersion": str(self.revision)}
        return {**document, "metadata": metadata}
