"""What a server's no becomes, and that no message tells a secret."""

from __future__ import annotations

import msgspec
import pytest

from rcm_api.client import errors


def refused(status: int, reason: str = "", *, body: bytes | None = None) -> errors.Refused:
    said = {"kind": "Status", "reason": reason, "message": "no", "code": status}
    data = msgspec.json.encode(said) if body is None else body
    return errors.refused("GET /x", status=status, headers={}, body=data)


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "BadRequest", errors.Invalid),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (409, "AlreadyExists", errors.AlreadyExists),
        (409, "Conflict", errors.Conflict),
        (410, "Gone", errors.Gone),
        (410, "Expired", errors.Gone),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.TooManyRequests),
        (500, "InternalError", errors.ServerError),
        (504, "Timeout", errors.ServerError),
        (418, "", errors.Refused),
    ],
)
def test_each_status_is_an_error_of_its_own(status: int, reason: str, kind: type):
    error = refused(status, reason)

    assert type(error) is kind
    assert (error.status, error.reason) == (status, reason)


def test_a_page_of_a_proxy_is_an_error_too():
    error = refused(502, body=b"<html>Bad Gateway</html>")

    assert isinstance(error, errors.ServerError)
    assert "Bad Gateway" in str(error)


def test_an_event_tells_its_own_code():
    body = b'{"code":410,"reason":"Expired","message":"too old"}'

    assert type(errors.refused("WATCH /x", status=0, headers={}, body=body)) is errors.Gone


@pytest.mark.parametrize(
    ("header", "expected"), [("7", 7.0), (None, None), ("soon", None), ("-1", None)]
)
def test_retry_after_is_read(header: str | None, expected: float | None):
    headers = {} if header is None else {"retry-after": header}
    error = errors.refused("GET /x", status=429, headers=headers, body=b"")

    assert error.retry_after_s == expected


def test_messages_are_short_and_on_one_line():
    message = str(errors.Unreachable("a\nb\tc " + "x" * 10_000))

    assert len(message) == errors.LIMIT
    assert message.startswith("a b c xxx")


TOKEN = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "message",
    [
        f"sent Authorization: Bearer {TOKEN} there",
        f"bearer {TOKEN[3:]}",
        f"exec plugin said {TOKEN}",
        f"GET https://host/path?token={TOKEN}&x=1 failed",
        f"token={TOKEN[3:]}",
    ],
)
def test_messages_hold_no_tokens(message: str):
    said = str(errors.Unreachable(message))

    assert TOKEN[3:20] not in said
    assert "…" in said or "?" not in said


def test_messages_hold_no_queries():
    said = str(errors.Unreachable("at https://host/a/b?secret=1&x=2 and /c?d=e: refused"))

    assert said == "at https://host/a/b and /c: refused"
