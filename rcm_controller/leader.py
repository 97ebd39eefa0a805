"""Who of the replicas may write: the holder of a Lease, as long as its own clock says so.

A thread (`run`) or the simulation takes the steps; `apply` asks `term` right before each write.
No two clocks are ever compared: a candidate measures how long the Lease has not moved, the leader
how long ago it began its last successful renewal, each by its own monotonic clock. A leader that
was stopped (SIGSTOP, a sleeping machine) finds its time over before it writes again.

    15 s  a Lease that nobody renewed for so long is free
    10 s  the leader stops itself when it could not renew for so long
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec
import structlog

from rcm_api.client import api, errors, resources
from rcm_controller import clock, metrics

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Terms:
    """Spans of an election; defaults of client-go but for the last."""

    duration_s: float = 15.0
    deadline_s: float = 10.0
    renew_s: float = 2.0
    look_s: float = 1.0
    """How often a standby looks: a Lease that was given back is taken within R9's 3 s."""


class Leadership(Protocol):
    """What the rest asks."""

    def term(self) -> int:
        """Return the number of the term that lasts now, 0: somebody else may be leading."""
        ...


class Alone:
    """The only replica, by the operator's word."""

    def term(self) -> int:
        """Return the one term."""
        return 1


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    resource_version: str = ""


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    lease_transitions: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None


class Lease(msgspec.Struct, frozen=True):
    """The part of a Lease that matters."""

    metadata: _Metadata
    spec: _Spec = _Spec()


_DECODE = msgspec.json.Decoder(Lease).decode


class Elector:
    """One replica's part in the election."""

    def __init__(
        self,
        client: api.Client,
        *,
        namespace: str,
        name: str,
        identity: str,
        time: clock.Clock,
        terms: Terms | None = None,
    ) -> None:
        """Take part as `identity`, which no other process may have."""
        self.identity = identity
        self._client = client
        self._namespace = namespace
        self._name = name
        self._time = time
        self._terms = terms or Terms()
        self._term = 0
        self._until = 0.0
        self._holding = False
        self._lease: Lease | None = None
        self._moved_at = 0.0
        self._trouble = ""
        self._leader = ""
        """Behind whom we stand, as the log said."""

    def term(self) -> int:
        """Return the number of the term that lasts now, 0: somebody else may be leading."""
        return self._term if self._holding and self._time.monotonic() < self._until else 0

    def step(self) -> float:
        """Do what is due and return the seconds until the next step."""
        began = self._time.monotonic()
        try:
            self._resign_late(began)
            done = self._renew(began) if self._holding else self._stand(began)
            self._trouble = ""
        except errors.ApiError as error:
            self._complain(error)
            done = self._terms.renew_s if self._holding else self._terms.look_s
        return max(0.0, done - (self._time.monotonic() - began))

    def release(self) -> None:
        """Give the Lease back, so that another replica need not wait for its end."""
        if not self._holding or self._lease is None:
            return
        self._holding = False
        try:
            self._give_back(self._lease)
            _log.info("lease released", holder=self.identity)
        except errors.ApiError as error:
            self._complain(error)

    def _give_back(self, lease: Lease) -> None:
        """Write nobody into it; a renewal whose reply was lost may have come before."""
        try:
            self._write(lease, holder="", duration_s=1.0)
        except errors.Conflict:
            lease = self._get()
            if lease.spec.holder_identity == self.identity:
                self._write(lease, holder="", duration_s=1.0)

    def _resign_late(self, now: float) -> None:
        if self._holding and now >= self._until:
            self._resign("renewals failed for too long")

    def _resign(self, why: str) -> None:
        self._holding = False
        _log.warning("leader no more", holder=self.identity, reason=why)

    def _renew(self, began: float) -> float:
        lease = self._lease or self._get()
        try:
            self._lease = self._write(lease, holder=self.identity)
        except errors.Conflict:
            self._lease = self._get()
            if self._lease.spec.holder_identity != self.identity:
                self._resign(f"{self._lease.spec.holder_identity!r} holds the lease")
                return self._terms.look_s
            self._lease = self._write(self._lease, holder=self.identity)
        except errors.NotFound:
            self._lease = self._create()
        self._until = began + self._terms.deadline_s
        return self._terms.renew_s

    def _stand(self, began: float) -> float:
        """Look at the Lease and take it when it is free."""
        try:
            found = self._get()
        except errors.NotFound:
            return self._win(self._create(), began)
        self._notice(found)
        wait = self._free_in(found)
        if wait > 0:
            self._stand_by(found.spec.holder_identity or "")
            return min(wait, self._terms.look_s)
        return self._win(self._write(found, holder=self.identity), began)

    def _stand_by(self, holder: str) -> None:
        if holder != self._leader:
            self._leader = holder
            _log.info("standing by", leader=holder)

    def _win(self, lease: Lease, began: float) -> float:
        self._lease, self._leader = lease, ""
        self._term += 1
        self._until = began + self._terms.deadline_s
        self._holding = True
        _log.info("leader now", holder=self.identity, term=self._term)
        return self._terms.renew_s

    def _notice(self, found: Lease) -> None:
        """Note when the Lease last moved before our eyes."""
        former = None if self._lease is None else self._lease.metadata.resource_version
        if former != found.metadata.resource_version:
            self._moved_at = self._time.monotonic()
        self._lease = found

    def _free_in(self, lease: Lease) -> float:
        if not lease.spec.holder_identity or lease.spec.holder_identity == self.identity:
            return 0.0
        duration = lease.spec.lease_duration_seconds or self._terms.duration_s
        return self._moved_at + duration - self._time.monotonic()

    def _get(self) -> Lease:
        return self._client.get(
            resources.LEASES, self._name, namespace=self._namespace, decode=_DECODE
        )

    def _create(self) -> Lease:
        body = {
            "apiVersion": resources.LEASES.api_version,
            "kind": resources.LEASES.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._spec(_Spec(), holder=self.identity, duration_s=self._terms.duration_s),
        }
        return self._client.create(
            resources.LEASES, body, namespace=self._namespace, decode=_DECODE
        )

    def _write(self, lease: Lease, *, holder: str, duration_s: float | None = None) -> Lease:
        spec = self._spec(
            lease.spec, holder=holder, duration_s=duration_s or self._terms.duration_s
        )
        version = {"resourceVersion": lease.metadata.resource_version}
        return self._client.patch(
            resources.LEASES,
            self._name,
            api.Patch({"metadata": version, "spec": spec}),
            namespace=self._namespace,
            decode=_DECODE,
        )

    def _spec(self, former: _Spec, *, holder: str, duration_s: float) -> Mapping[str, object]:
        now = _micro(self._time.now())
        same = former.holder_identity == holder
        changes = former.lease_transitions or 0
        return {
            "holderIdentity": holder,
            "leaseDurationSeconds": round(duration_s),
            "acquireTime": former.acquire_time if same and former.acquire_time else now,
            "renewTime": now,
            "leaseTransitions": changes if same or not holder else changes + 1,
        }

    def _complain(self, error: errors.ApiError) -> None:
        """Log a trouble when it begins, not each time it lasts."""
        if isinstance(error, errors.Conflict | errors.AlreadyExists):
            return  # another candidate was quicker
        if type(error).__name__ != self._trouble:
            self._trouble = type(error).__name__
            _log.warning("lease unreachable", lease=self._name, problem=str(error))


def _micro(time: datetime) -> str:
    """Return what metav1.MicroTime wants: six digits, Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def show(leadership: Leadership, told: metrics.Metrics) -> None:
    """Put the state into the metrics."""
    told.show(metrics.LEADER, [((), float(leadership.term() > 0))])
