"""What moves requests: one small protocol, so that everything above runs against a model too.

`http.Http` is the real one; `tests/fakes/apiserver` has one that answers in memory, and both pass
`tests/contract/test_api_*.py`. A wrapper that counts, slows down or breaks requests is another
`Transport` around one. Nothing here knows Kubernetes but for its status codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

JSON = "application/json"
TIMEOUT_S = 30.0
"""For a whole request. Half of what the API server gives itself (--request-timeout, 60 s)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question."""

    method: str
    path: str
    """With a leading slash, quoted where needed, without a query."""
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    content_type: str = JSON
    """Of the body."""
    accept: str = JSON
    timeout_s: float = TIMEOUT_S
    """For the whole answer; of a stream: the longest silence."""


@dataclass(frozen=True, slots=True)
class Response:
    """One answer, whatever its status is."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class Transport(Protocol):
    """Any way to an API server."""

    def send(self, request: Request) -> Response:
        """Return the answer, also an unwelcome one.

        Raises:
            Unreachable: no answer came; whether a write was done is not known.
        """
        ...

    def stream(self, request: Request) -> AbstractContextManager[Iterator[bytes]]:
        """Open a stream of lines, without their line ends.

        An empty line means "nothing at the moment"; only transports that never block say so.

        Raises:
            Refused: the server answered with another status than 200.
            Unreachable: no answer came, or the stream broke.
            Frozen: nothing came for `timeout_s`.
        """
        ...

    def close(self) -> None:
        """Break off whatever is under way, in any thread: it raises `Unreachable`."""
        ...
