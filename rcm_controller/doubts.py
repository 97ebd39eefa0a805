"""Writes of which nobody knows whether they were done: their objects are read once more.

Noted by `apply` when no whole answer came or the server failed; `loop` asks for them before it
plans, so that nobody else takes the place that such a write may have filled. Read as lists of one
object: the right to list is there anyway.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from rcm_api.client import api, errors, resources
from rcm_controller import store
from rcm_controller.pending import Key

MOST_TRIES = 5
"""Refusals of one object after which the others go on without it: it alone may be broken, and its
own writes are held back anyway. A guess."""


class Doubts:
    """Those of now; noted by the writers' threads, settled by the loop's."""

    def __init__(self, client: api.Client, caches: store.Store) -> None:
        """Doubt nothing yet."""
        self._client = client
        self._lock = threading.Lock()
        self._tries: dict[Key, int] = {}
        self._kinds: Mapping[str, tuple[resources.Resource, store.Cache[Any]]] = {
            "Shim": (resources.SHIMS, caches.shims),
            "Node": (resources.NODES, caches.nodes),
            "NodeRuntime": (resources.NODERUNTIMES, caches.runtimes),
            "RuntimeClass": (resources.RUNTIMECLASSES, caches.classes),
        }

    def note(self, where: Key) -> None:
        """Doubt what is known of an object; of Events nothing is."""
        kind, name = where
        kind = kind.removesuffix("/status")
        if kind in self._kinds:
            with self._lock:
                self._tries.setdefault((kind, name), 0)

    def settle(self) -> errors.ApiError | None:
        """Read all doubtful objects; return why one of them could not be read."""
        with self._lock:
            doubtful = list(self._tries)
        for where in doubtful:
            try:
                self.read(*where)
            except errors.ApiError as error:
                if not self._gives_up(where, error):
                    return error
            with self._lock:
                self._tries.pop(where, None)
        return None

    def read(self, kind: str, name: str) -> None:
        """Read one object into its cache, also when it is gone.

        Raises:
            ApiError: it could not be read.
        """
        resource, cache = self._kinds[kind]
        for page in self._client.pages(resource, api.Selection(fields=f"metadata.name={name}")):
            cache.merge(page.items, version=page.resource_version, only=name)

    def _gives_up(self, where: Key, error: errors.ApiError) -> bool:
        if not isinstance(error, errors.Refused):
            return False
        with self._lock:
            tries = self._tries[where] = self._tries.get(where, 0) + 1
        return tries >= MOST_TRIES
