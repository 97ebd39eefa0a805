"""Bringing an artifact's bytes into a partial file: mirrors, retries, continuing after a break.

Called by `store`, which owns the partial file and what happens to it next. When `fetch` returns,
the digest matches, or there was none to match. Nothing here looks into the bytes.
"""

from __future__ import annotations

from rcm_agent import errors, ports
from rcm_agent.host import job, limits, locations, partials, reading, retries, terms

MIRROR_ATTEMPTS = 2
"""A mirror that is down must not eat the time of the original. A guess."""


def fetch(task: job.Job, kernel: ports.Kernel, location: locations.Location) -> None:
    """Fill the partial file from a mirror or from the location.

    Raises:
        partials.Interrupted: it broke off; the partial file may be continued.
        FetchError: it cannot be had, or is not what was promised.
    """
    if task.sha256 is not None and task.partial.digest() == task.sha256:
        return
    kept = limits.Limits(task.policy, task.timing)
    mirrors = locations.mirrored(location, task.policy.mirrors)
    problems: list[errors.FetchError] = []
    for place in (*mirrors, location):
        try:
            if place.scheme == "file":
                _copy_from(task, kernel, place)
            else:
                _fetch_from(task, place, kept=kept, mirror=place is not location)
        except partials.DiskRefused:
            raise
        except errors.FetchError as problem:
            problems.append(problem)
        else:
            return
    raise _all_failed(problems)


def _copy_from(task: job.Job, kernel: ports.Kernel, place: locations.Location) -> None:
    task.partial.restart()
    try:
        with reading.open_file(kernel, place.path) as file:
            _copy_all(task, file, place)
    except OSError as error:
        raise errors.FetchError(
            f"cannot read {place.shown}: {errors.clip(error.strerror or str(error))}",
            advice="name a regular file that is on this host",
        ) from error
    if wrong := _mismatch(task, place, media_type=""):
        task.partial.restart()
        raise wrong


def _copy_all(task: job.Job, file: reading.File, location: locations.Location) -> None:
    total = file.seek(0, 2)
    file.seek(0)
    buffer = bytearray(reading.CHUNK_BYTES)
    view = memoryview(buffer)
    while count := file.readinto(buffer):
        if task.partial.size + count > task.policy.max_bytes:
            raise job.too_large(location, task.policy)
        task.partial.write(view[:count])
        task.tell(terms.Progress(task.partial.size, total))


def _fetch_from(
    task: job.Job, place: locations.Location, *, kept: limits.Limits, mirror: bool
) -> None:
    if place.scheme == "http" and task.sha256 is None:
        raise errors.FetchError(
            f"{place.shown} is http and there is no sha256 to check it with",
            advice="use https, or give sha256",
        )
    media_type = _until_whole(task, place, kept=kept, mirror=mirror)
    if _mismatch(task, place, media_type=media_type) and task.partial.continued:
        task.partial.restart()  # its beginning may have been another version's
        media_type = _until_whole(task, place, kept=kept, mirror=mirror)
    if wrong := _mismatch(task, place, media_type=media_type):
        task.partial.restart()
        raise wrong


def _until_whole(
    task: job.Job, place: locations.Location, *, kept: limits.Limits, mirror: bool
) -> str:
    """Try until the server's last byte is there; returns the media type that it claims."""
    from rcm_agent.host import transfer  # noqa: PLC0415 - imports `requests`, see `dial`

    allowed = MIRROR_ATTEMPTS if mirror else task.policy.attempts
    farthest, failures = task.partial.size, 0
    while True:
        try:
            return transfer.attempt(task, place, kept=kept, mirror=mirror)
        except transfer.Broken as broken:
            if task.partial.digest() == task.sha256:  # all there, the end was not
                return ""
            failures = 1 if task.partial.size > farthest else failures + 1
            farthest = max(farthest, task.partial.size)
            jitter = task.timing.jitter()
            pause_s = retries.pause_s(failures, jitter=jitter, asked_s=broken.asked_s)
            if failures >= allowed or pause_s >= kept.remaining_s():
                raise _given_up(task, broken.cause, failures, kept=kept) from broken
            task.timing.wait(pause_s)


def _given_up(
    task: job.Job, cause: str, failures: int, *, kept: limits.Limits
) -> partials.Interrupted:
    late = "" if kept.remaining_s() else f", and {task.policy.deadline_s:g} s are over"
    kept_text = (
        f"; the {task.partial.size} bytes in {task.partial.path} will be continued"
        if task.partial.size
        else ""
    )
    return partials.Interrupted(
        f"{cause} (attempt {failures}{late})",
        advice=f"check the network and run the command again{kept_text}",
    )


def _mismatch(
    task: job.Job, place: locations.Location, *, media_type: str
) -> errors.FetchError | None:
    found = task.partial.digest()
    if task.sha256 is None or found == task.sha256:
        return None
    hint = " and calls it an HTML page" if media_type == "text/html" else ""
    return errors.DigestMismatch(
        f"{place.shown} brings sha256 {found}{hint}, not {task.sha256} as the Shim says",
        advice="do not trust these bytes; correct location or sha256 in the Shim",
    )


def _all_failed(problems: list[errors.FetchError]) -> errors.FetchError:
    """Tell the original's failure, and that of the first mirror beside it."""
    last = problems[-1]
    if len(problems) > 1:
        return type(last)(f"{last.cause}; mirror: {problems[0].cause}", advice=last.advice)
    return last
