"""One immutable snapshot of the cluster: all that a decision may look at. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from rcm_api import noderuntime
from rcm_controller import views


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator of the controller chose; flags and environment (`settings`)."""

    require_digest: bool = False
    """Refuse Shims without sha256 instead of trusting the first download."""
    attempts: int = 3
    """Tries per node and digest, the first one included; a guess."""
    backoff: timedelta = timedelta(seconds=30)
    """Before the second try; doubles with each. A guess: longer than a restart takes."""
    answer_deadline: timedelta = timedelta(minutes=10)
    """An agent that was asked to change and says nothing for so long counts as failed. A guess:
    design §4 gives a rollback 60 s, and a slow download some minutes."""
    dead_node_deadline: timedelta = timedelta(minutes=15)
    """A deletion waits so long for a node that is gone. A guess: three times the 5 minutes after
    which Kubernetes evicts pods from an unreachable node."""


@dataclass(frozen=True, slots=True)
class World:
    """The cluster at one moment, as this controller's caches show it."""

    now: datetime
    """UTC, aware."""
    shims: Mapping[str, views.ShimView]
    nodes: Mapping[str, views.NodeView]
    runtimes: Mapping[str, noderuntime.NodeRuntime]
    """By node name."""
    classes: Mapping[str, views.RuntimeClassView]
    policy: Policy = Policy()
    unread: frozenset[str] = frozenset()
    """Nodes that are there and could never be read; `UNNAMED`: not even a name. Nothing is done
    about them, and what belongs to them stays."""


UNNAMED = "?"
"""Stands for a Node without a readable name; no Kubernetes object is called so."""
