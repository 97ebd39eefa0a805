"""One attempt to get an artifact from one place, continuing what is already there.

Called by `download`, again and again as it sees fit. What comes is written as it came: no content
decoding, since the digest is of the bytes that the server keeps.
"""

from __future__ import annotations

import hashlib
import http
import re
from collections.abc import Mapping

from rcm_agent import errors
from rcm_agent.host import dial, hops, job, limits, locations, partials, reading, retries, terms

_TOO_MANY = 429
_SERVER_FAULT = 500
_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]{1,256}"')
_LENGTH = re.compile(r"\d{1,18}")
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


class Broken(Exception):  # noqa: N818 - never leaves `rcm_agent.host`
    """The attempt failed in a way that another one may cure."""

    def __init__(self, cause: str, *, asked_s: float | None = None) -> None:
        """Keep what happened, and for how long the server wants to be left alone."""
        super().__init__(cause)
        self.cause = cause
        self.asked_s = asked_s


def attempt(task: job.Job, place: locations.Location, *, kept: limits.Limits, mirror: bool) -> str:
    """Bring the partial file to its end; returns the media type that the server claims.

    Raises:
        Broken: asking again may help.
        FetchError: it does not.
    """
    headers = _headers(task, place)
    try:
        _, answer = hops.follow(place, headers, policy=task.policy, kept=kept, trusted=mirror)
    except dial.Unreachable as error:
        raise _broken(place, error) from error
    try:
        total = _begin(task, place, answer, asked_range="Range" in headers)
        _stream(task, place, answer, total=total)
    finally:
        answer.close()
    return errors.clip(answer.headers.get("Content-Type", "").partition(";")[0])


def _headers(task: job.Job, place: locations.Location) -> Mapping[str, str]:
    """Ask to continue where that is safe: same version by its validator, or checked by digest."""
    partial = task.partial
    plain = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "rcm-agent"}
    if not partial.size:
        return plain
    origin = partial.origin()
    validator = origin.validator if origin and origin.url_sha256 == _hash(place) else ""
    if not validator and task.sha256 is None:
        partial.restart()
        return plain
    condition = {"If-Range": validator} if validator else {}
    return plain | {"Range": f"bytes={partial.size}-"} | condition


def _begin(
    task: job.Job, place: locations.Location, answer: dial.Answer, *, asked_range: bool
) -> int | None:
    """Judge status and sizes; the whole artifact's size, None when the server does not say."""
    _check_status(task, place, answer, asked_range=asked_range)
    length = answer.headers.get("Content-Length", "")
    coming = int(length) if _LENGTH.fullmatch(length) else None
    if answer.status == http.HTTPStatus.OK:
        if task.partial.size:
            task.partial.restart()
        task.partial.note_origin(partials.Origin(_hash(place), _validator(answer.headers)))
        total = coming
    else:
        total = _continued(task, place, answer)
    if total is not None and total > task.policy.max_bytes:
        raise job.too_large(place, task.policy)
    return total


def _check_status(
    task: job.Job, place: locations.Location, answer: dial.Answer, *, asked_range: bool
) -> None:
    status = answer.status
    if status == http.HTTPStatus.OK or (status == http.HTTPStatus.PARTIAL_CONTENT and asked_range):
        return
    said = f"{place.shown} answers {status} {_phrase(status)}".rstrip()
    if status == _TOO_MANY or status >= _SERVER_FAULT:
        raise Broken(said, asked_s=retries.asked_s(answer.headers))
    if status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and asked_range:
        task.partial.restart()
        raise Broken(said)
    raise errors.FetchError(said, advice="check the location; open it with curl -IL")


def _continued(task: job.Job, place: locations.Location, answer: dial.Answer) -> int | None:
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
    if found is None or int(found[1]) != task.partial.size:
        task.partial.restart()
        raise Broken(f"{place.shown} sends another part than the one asked for")
    task.partial.continued = True
    return None if found[3] == "*" else int(found[3])


def _stream(
    task: job.Job, place: locations.Location, answer: dial.Answer, *, total: int | None
) -> None:
    partial = task.partial
    while chunk := _read(place, answer):
        if partial.size + len(chunk) > task.policy.max_bytes:
            raise job.too_large(place, task.policy)
        partial.write(chunk)
        task.tell(terms.Progress(partial.size, total))
    if total is not None and partial.size != total:
        raise Broken(f"{place.shown} ended after {partial.size} of {total} bytes")


def _read(place: locations.Location, answer: dial.Answer) -> bytes:
    try:
        return answer.read(reading.CHUNK_BYTES)
    except dial.Unreachable as error:
        raise _broken(place, error) from error


def _broken(place: locations.Location, error: BaseException) -> Exception:
    """Sort a failure of the network: a wrong certificate does not get better by asking again."""
    said = f"cannot read {place.shown}: {dial.reason(error)}"
    if dial.is_certificate(error):
        return errors.FetchError(said, advice="check the host's clock, or name its CA with ca_file")
    return Broken(said)


def _validator(headers: Mapping[str, str]) -> str:
    """Return what If-Range can name: a strong ETag, else Last-Modified (RFC 9110, 13.1.5)."""
    tag = headers.get("ETag", "")
    return tag if _STRONG_TAG.fullmatch(tag) else headers.get("Last-Modified", "")[:64]


def _hash(place: locations.Location) -> str:
    return hashlib.sha256(place.url.encode()).hexdigest()


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""
