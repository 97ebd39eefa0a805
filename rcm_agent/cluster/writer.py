"""Sends the status, when it differs from what the server has, and again until the server has it.

`loop` offers the newest one at any time and never waits; a thread of `run` takes the steps. What
was offered while the server was away is sent when it is back; what was overtaken is not sent.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog

from rcm_agent.cluster import mirror, settings, watchers
from rcm_api import noderuntime
from rcm_api.client import api, backoff, errors, resources

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

IDLE_S = 60.0
"""Nobody offers anything for so long: see whether the server still has our status."""
MISSING_S = 30.0
"""The object is gone; a watch tells when there is another one."""


class Writer:
    """The one who writes the status."""

    def __init__(
        self,
        client: api.Client,
        node: str,
        seen: mirror.Mirror,
        *,
        random: backoff.Random,
        observer: watchers.Observer,
    ) -> None:
        """Write for `node`; what the server answers goes to `seen`."""
        self._client = client
        self._node = node
        self._seen = seen
        self._random = random
        self._observer = observer
        self._backoff = backoff.Backoff(cap_s=settings.BACKOFF_S)
        self._offered: noderuntime.Status | None = None
        self._failures = 0
        self._kept: tuple[noderuntime.Status, noderuntime.Status] | None = None
        """What was sent last, and what the server made of it."""
        self.wake = threading.Event()
        """Set when there may be something to send."""

    def offer(self, status: noderuntime.Status | None) -> None:
        """Have this sent; None: nothing is to be said."""
        if status != self._offered:
            self._offered = status
            self.wake.set()

    def step(self) -> float:
        """Send what is to be sent; return the seconds until the next step, sooner after `wake`."""
        self.wake.clear()
        status, found = self._offered, self._seen.get()
        if status is None or found is None or found.metadata.deletion_timestamp is not None:
            return IDLE_S
        if found.status == status or self._kept == (status, found.status):
            return IDLE_S
        try:
            self._send(status)
        except errors.NotFound:
            return MISSING_S
        except errors.ApiError as error:
            return self._failed(error)
        if self._failures:
            _log.info("status written again", failures=self._failures)
        self._failures = 0
        return 0.0 if self.wake.is_set() else IDLE_S

    def _send(self, status: noderuntime.Status) -> None:
        patch = api.Patch(body(status), subresource="status")
        found = self._client.patch(
            resources.NODERUNTIMES, self._node, patch, decode=noderuntime.parse
        )
        self._kept = (status, found.status)
        self._seen.take(found)

    def _failed(self, error: errors.ApiError) -> float:
        self._failures += 1
        self._observer.api_error(type(error).__name__)
        if self._failures == 1:
            _log.warning("status not written, trying again", problem=str(error))
        return self._backoff.after(self._failures, random=self._random, wish_s=error.retry_after_s)


def body(status: noderuntime.Status) -> Mapping[str, Any]:
    """Return the merge patch: each field is named, and null removes what is empty now."""
    found: dict[str, Any] = dict.fromkeys(noderuntime.Status.__struct_encode_fields__)
    found.update(msgspec.to_builtins(status))
    facts: dict[str, Any] = dict.fromkeys(noderuntime.Facts.__struct_encode_fields__)
    found["facts"] = facts | msgspec.to_builtins(status.facts)
    return {"status": found}
