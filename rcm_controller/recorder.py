"""Events: what a person asks about, said once and counted when it comes again.

Called by `apply`; each Event is a line of the log too. An Event's name is made from what it says,
so the same news of a new leader finds the Event of the old one. Echoes are not written, and news
beyond some dozens at once is dropped, because the conditions of the Shim tell the state anyway.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from rcm_api import names
from rcm_api.client import api, errors, resources
from rcm_controller import actions, budget, clock

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

NAMESPACE = "default"
"""Of Events about objects that are in none; kubectl describe looks there."""
AGAIN_S = 5.0
"""The same news is written again after so long, with a higher count. Sooner it is an echo: the plan
was made again before the status was seen that told it."""
PER_S = 0.5
BURST = 25
"""As client-go's spam filter, which allows 25 Events at once per object."""
REMEMBERED = 1000
"""News; a bound on memory, not on what can be told."""
COMPONENT = "rcm-controller"
_LIMIT = 1024
"""Characters of a message (events.k8s.io validation)."""


@dataclass(slots=True)
class _News:
    """An Event that we wrote."""

    told_at: float
    count: int


class _Count(msgspec.Struct, frozen=True):
    count: int = 1


_COUNT = msgspec.json.Decoder(_Count).decode


class Recorder:
    """Writes Events."""

    def __init__(self, client: api.Client, *, time: clock.Clock) -> None:
        """Remember nothing yet."""
        self._client = client
        self._time = time
        self._allowed = budget.Budget(per_s=PER_S, burst=BURST, time=time)
        self._news: OrderedDict[str, _News] = OrderedDict()

    def due(self, action: actions.EmitEvent) -> bool:
        """Tell whether an Event is worth a write now."""
        known = self._news.get(_name(action))
        return known is None or self._time.monotonic() - known.told_at >= AGAIN_S

    def tell(self, action: actions.EmitEvent) -> None:
        """Write an Event, or count it up; drop it when too many were written.

        Raises:
            ApiError: it was not written.
        """
        if not self.due(action) or self._allowed.take() > 0:
            return
        name = _name(action)
        known = self._news.get(name)
        try:
            count = self._create(name, action) if known is None else self._again(name, action)
        except errors.AlreadyExists:
            count = self._again(name, action)
        except errors.NotFound:  # an hour is over (kube-apiserver --event-ttl)
            count = self._create(name, action)
        self._remember(name, count)
        _log.info(
            "event",
            object=f"{action.kind}/{action.name}",
            reason=action.reason,
            said=action.message,
            count=count,
        )

    def _remember(self, name: str, count: int) -> None:
        self._news[name] = _News(self._time.monotonic(), count)
        self._news.move_to_end(name)
        while len(self._news) > REMEMBERED:
            self._news.popitem(last=False)

    def _create(self, name: str, action: actions.EmitEvent) -> int:
        body = _body(name, action, now=self._stamp())
        self._client.create(resources.EVENTS, body, namespace=NAMESPACE, decode=api.ignore)
        return 1

    def _again(self, name: str, _action: actions.EmitEvent) -> int:
        known = self._news.get(name)
        former = known.count if known is not None else self._count(name)
        body = {"count": former + 1, "lastTimestamp": self._stamp()}
        self._client.patch(
            resources.EVENTS, name, api.Patch(body), namespace=NAMESPACE, decode=api.ignore
        )
        return former + 1

    def _count(self, name: str) -> int:
        found = self._client.get(resources.EVENTS, name, namespace=NAMESPACE, decode=_COUNT)
        return found.count

    def _stamp(self) -> str:
        return self._time.now().strftime("%Y-%m-%dT%H:%M:%SZ")


_KINDS = {"Shim": resources.SHIMS, "Node": resources.NODES}


def _name(action: actions.EmitEvent) -> str:
    said = f"{action.kind}\n{action.uid}\n{action.reason}\n{action.message}"
    return f"{action.name[:200]}.{hashlib.sha256(said.encode()).hexdigest()[:16]}"


def _body(name: str, action: actions.EmitEvent, *, now: str) -> Mapping[str, Any]:
    return {
        "apiVersion": resources.EVENTS.api_version,
        "kind": resources.EVENTS.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "involvedObject": {
            "apiVersion": _KINDS[action.kind].api_version,
            "kind": action.kind,
            "name": action.name,
            # kubectl describe node looks for the name in place of the UID, as kubelet writes it.
            "uid": action.name if action.kind == "Node" else action.uid,
        },
        "reason": action.reason,
        "message": action.message[:_LIMIT],
        "type": "Warning" if action.warning else "Normal",
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": names.MANAGER,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
