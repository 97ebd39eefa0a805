"""This node's NodeRuntime, as the server had it last: the sink of the agent's one watch.

`loop` reads it, `writer` compares with it what is to be said.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import msgspec
import structlog

from rcm_api import noderuntime
from rcm_api.client import reflector
from rcm_api.noderuntime import NodeRuntime

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Mirror:
    """The newest state that anybody told us."""

    def __init__(self, node: str, *, wake: Callable[[], None]) -> None:
        """Call `wake` when what is asked has changed, not when our own status comes back."""
        self._node = node
        self._wake = wake
        self._lock = threading.Lock()
        self._found: NodeRuntime | None = None
        self._synced = threading.Event()

    @property
    def synced(self) -> bool:
        """Whether the server was heard once, also if it has no such object."""
        return self._synced.is_set()

    def get(self) -> NodeRuntime | None:
        """Return the object; None: there is none, or nobody could say yet."""
        with self._lock:
            return self._found

    def replace(self, items: Iterable[bytes], *, version: str) -> None:  # noqa: ARG002 - of Sink
        """Take a list, which has this object or none."""
        found = [one for item in items if (one := self._parse(item)) is not None]
        with self._lock:
            former, self._found = self._found, found[0] if found else None
            changed = not self._synced.is_set() or _asked(former) != _asked(self._found)
            self._synced.set()
        if changed:
            self._wake()

    def put(self, item: bytes) -> None:
        """Take a state; an older one than that of our own last write is no news."""
        found = self._parse(item)
        if found is not None:
            self.take(found)

    def take(self, found: NodeRuntime) -> None:
        """Take a state that a write returned."""
        with self._lock:
            former = self._found
            if former is not None and _is_older(found, former):
                return
            self._found = found
            changed = _asked(former) != _asked(found)
        if changed:
            self._wake()

    def drop(self, item: bytes) -> None:
        """Forget the object."""
        found = self._parse(item)
        with self._lock:
            if found is None or self._found is None:
                return
            if found.metadata.uid != self._found.metadata.uid:
                return
            self._found = None
        self._wake()

    def at(self, version: str) -> None:
        """Take no note of a bookmark."""

    def _parse(self, item: bytes) -> NodeRuntime | None:
        """An object that cannot be read is as good as none: what is known stays."""
        try:
            found = noderuntime.parse(item)
        except msgspec.ValidationError as error:
            _log.error("the NodeRuntime cannot be read", problem=str(error)[:256])
            return self.get()
        return found if found.name == self._node else None


def _asked(found: NodeRuntime | None) -> object:
    if found is None:
        return None
    meta = found.metadata
    return found.spec, meta.uid, meta.generation, meta.deletion_timestamp


def _is_older(found: NodeRuntime, former: NodeRuntime) -> bool:
    one, other = found.metadata, former.metadata
    return one.uid == other.uid and reflector.went_back(
        one.resource_version, other.resource_version
    )
