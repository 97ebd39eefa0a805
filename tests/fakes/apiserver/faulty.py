"""A transport that breaks requests on their way to another one: a model, or a real server.

    broken = faulty.Faulty(server)
    broken.next(faulty.Refuse(429, "TooManyRequests", retry_after_s=1), when=faulty.writes)

A fault is used up when it struck; `decide` may also be set to a function that draws lots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from rcm_api.client import errors
from rcm_api.client.transport import Request, Response, Transport
from tests.fakes.apiserver.answers import Refusal


@dataclass(frozen=True, slots=True)
class Refuse:
    """The server says no, before it does anything."""

    status: int
    reason: str
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """The connection breaks before the server has the request."""


@dataclass(frozen=True, slots=True)
class NoReply:
    """The server does what it was asked, and the reply is lost."""


Fault = Refuse | NotSent | NoReply
When = Callable[[Request], bool]


def always(_request: Request) -> bool:
    return True


def writes(request: Request) -> bool:
    return request.method != "GET"


def lists(request: Request) -> bool:
    return request.method == "GET" and "limit" in request.query


def watches(request: Request) -> bool:
    return "watch" in request.query


@dataclass(slots=True)
class Faulty:
    """A `Transport` around one."""

    inner: Transport
    decide: Callable[[Request], Fault | None] = lambda _request: None
    asked: int = 0
    """Requests and streams so far."""
    _due: list[tuple[Fault, When]] = field(default_factory=list[tuple[Fault, When]])

    def next(self, fault: Fault, *, when: When = always, times: int = 1) -> None:
        """Strike the next requests that `when` chooses."""
        self._due.extend([(fault, when)] * times)

    def send(self, request: Request) -> Response:
        """Pass on, or break."""
        match self._fault(request):
            case None:
                return self.inner.send(request)
            case Refuse() as refuse:
                return _refusal(refuse).response(refuse.retry_after_s)
            case NotSent():
                raise errors.Unreachable(f"{request.method} {request.path}: connection refused")
            case NoReply():
                self.inner.send(request)
                raise errors.Unreachable(f"{request.method} {request.path}: connection reset")

    def stream(self, request: Request) -> AbstractContextManager[Iterator[bytes]]:
        """Pass on, or break."""
        match self._fault(request):
            case None:
                return self.inner.stream(request)
            case Refuse() as refuse:
                said = _refusal(refuse).response(refuse.retry_after_s)
                raise errors.refused(
                    request.path, status=said.status, headers=said.headers, body=said.body
                )
            case NotSent() | NoReply():
                raise errors.Unreachable(f"{request.path}: connection reset")

    def close(self) -> None:
        """Close the other one."""
        self.inner.close()

    def _fault(self, request: Request) -> Fault | None:
        self.asked += 1
        for index, (fault, when) in enumerate(self._due):
            if when(request):
                del self._due[index]
                return fault
        return self.decide(request)


def _refusal(refuse: Refuse) -> Refusal:
    return Refusal(refuse.status, refuse.reason, f"injected: {refuse.reason}")
