"""What asking the API server may raise.

ApiError
├── Unreachable           no whole answer; a write may have been done all the same
│   └── Frozen            a watch that said nothing for too long
├── Garbled               an answer that no API server gives
├── NoCredentials         nothing says which server, or who we are
└── Refused               the server's own no, with its status and reason
    ├── Unauthorized      401
    ├── Forbidden         403
    ├── NotFound          404
    ├── AlreadyExists     409 of a create
    ├── Conflict          409: decided on an old view
    ├── Gone              410: a resourceVersion or continue token too old to go on from
    ├── Invalid           422, and 400
    ├── TooManyRequests   429
    └── ServerError       5xx

Messages have at most 256 characters and hold neither tokens nor the queries of URLs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

LIMIT = 256
"""Characters of a message (style 18)."""


class ApiError(Exception):
    """The root of the tree.

    Attributes:
        retry_after_s: the server's wish; None: it has none.
    """

    retry_after_s: float | None = None

    def __init__(self, message: str) -> None:
        """Clean and cut the message."""
        super().__init__(clean(message))


class Unreachable(ApiError):  # noqa: N818 - reads as what it is
    """No whole answer came. What was asked may have been done."""


class Frozen(Unreachable):
    """A watch is open and says nothing, not even a bookmark."""


class Garbled(ApiError):  # noqa: N818 - reads as what it is
    """The answer is not what API servers say; something else may sit at that address."""


class NoCredentials(ApiError):  # noqa: N818 - reads as what it is
    """Neither a kubeconfig nor a Pod's files say which server to ask, and as whom."""


class Refused(ApiError):  # noqa: N818 - as above
    """The server said no.

    Attributes:
        status: of HTTP, or the code of a watch's ERROR event.
        reason: the server's constant, for example `Conflict`; may be empty.
    """

    def __init__(
        self, message: str, *, status: int, reason: str, retry_after_s: float | None = None
    ) -> None:
        """Keep what callers decide on."""
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s


class Unauthorized(Refused):
    """The token is not, or no longer, valid."""


class Forbidden(Refused):
    """A rule (RBAC), a policy or a quota says no."""


class NotFound(Refused):
    """No such object, or no such kind of object."""


class AlreadyExists(Refused):
    """An object of that name is there."""


class Conflict(Refused):
    """The object is not the one, or not in the state, that the caller decided on."""


class Gone(Refused):
    """Too old to go on from: list anew."""


class Invalid(Refused):
    """The object breaks its schema or a rule of it, or cannot be read at all."""


class TooManyRequests(Refused):
    """The server wants fewer requests; an eviction that must wait is told so too."""


class ServerError(Refused):
    """The server, or something before it, failed."""


_BY_STATUS: Mapping[int, type[Refused]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}
_SERVER_ERROR = 500


class Status(msgspec.Struct, frozen=True, rename="camel"):
    """The part of `metav1.Status` that matters."""

    message: str = ""
    reason: str = ""
    code: int = 0


_STATUS = msgspec.json.Decoder(Status)


def refused(what: str, *, status: int, headers: Mapping[str, str], body: bytes) -> Refused:
    """Return the error that an answer, or a watch's ERROR event (status 0), stands for."""
    try:
        said = _STATUS.decode(body)
    except msgspec.DecodeError:  # a proxy's page, or nothing
        said = Status(message=body[:LIMIT].decode(errors="replace"))
    code = status or said.code or _SERVER_ERROR
    kind = AlreadyExists if said.reason == "AlreadyExists" else _kind(code)
    message = f"{what}: {code} {said.reason}: {said.message}"
    after = _seconds(headers.get("retry-after"))
    return kind(message, status=code, reason=said.reason, retry_after_s=after)


def clean(text: str) -> str:
    """Return a message without secrets and line ends, cut to `LIMIT`."""
    head = _BEARER.sub(r"\1…", text[: 16 * LIMIT])
    head = _JWT.sub("…", head)
    head = _QUERY.sub(r"\1", head)
    line = " ".join(head.split())
    return line if len(line) <= LIMIT else line[: LIMIT - 1] + "…"


_BEARER = re.compile(r"(?i)\b(bearer\s+|token[=:]\s*)[^\s\"',;]+")
_JWT = re.compile(r"\beyJ[\w-]{8,}(\.[\w-]+){0,2}", re.ASCII)
_QUERY = re.compile(r"(/[^\s?\"']*)\?[^\s\"')]*[^\s\"'):;,.]")


def _kind(code: int) -> type[Refused]:
    if code >= _SERVER_ERROR:
        return ServerError
    return _BY_STATUS.get(code, Refused)


def _seconds(header: str | None) -> float | None:
    """Read Retry-After; API servers send seconds, and a date is not worth a parser here."""
    if header is None or not header.isascii() or not header.isdigit():
        return None
    return float(header)
