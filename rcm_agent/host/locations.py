"""URLs of artifacts: what is accepted, and what of them may be shown.

Called by `hops` for each redirect and by `download` for the first one. A URL that passes has no
user name, no password and no fragment; errors and logs use `shown`, which has no query either.
"""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass
from typing import Literal, get_args

from rcm_agent import errors

Scheme = Literal["https", "http", "file"]

MAX_CHARS = 4096
"""Of a URL. GitHub's signed ones have about 900; a guess with room."""

_SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
_PORTS = {"https": 443, "http": 80, "file": 0}


@dataclass(frozen=True, slots=True)
class Location:
    """A URL that may be asked for."""

    url: str
    scheme: Scheme
    host: str
    port: int
    path: str
    """Percent-decoded; the host's own path for file://."""
    shown: str
    """For people: no query."""


def parse(text: str) -> Location:
    """Return the location that `text` names.

    Raises:
        FetchError: it is none that we fetch from.
    """
    _check_text(text)
    try:
        parts = urllib.parse.urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _refused("is not a URL", "correct spec.fetchStrategy") from error
    if parts.username is not None or parts.password is not None:
        raise _refused("holds a user name or a password", "use a location without credentials")
    scheme = _scheme(parts.scheme.lower())
    path = urllib.parse.unquote(parts.path)
    if scheme == "file":
        return _file(parts.hostname, path)
    if not parts.hostname:
        raise _refused("names no host", "write https://HOST/PATH")
    return Location(
        url=urllib.parse.urlunsplit(parts._replace(fragment="")),
        scheme=scheme,
        host=parts.hostname,
        port=port or _PORTS[scheme],
        path=path,
        shown=errors.clip(f"{scheme}://{parts.netloc}{parts.path}"),
    )


def redirected(location: Location, target: str) -> Location:
    """Return where a redirect leads.

    Raises:
        FetchError: to nowhere we go, or from https to http.
    """
    try:
        joined = urllib.parse.urljoin(location.url, target)
        there = parse(joined)
    except (ValueError, errors.FetchError) as error:
        raise errors.FetchError(
            f"{location.shown} redirects to what we do not follow: {errors.clip(str(error))}",
            advice="use the location that it leads to, if you trust it",
        ) from error
    if there.scheme == "file" or (location.scheme == "https" and there.scheme == "http"):
        raise errors.FetchError(
            f"{location.shown} redirects from {location.scheme} to {there.scheme}",
            advice="use a location that stays on https",
        )
    return there


def mirrored(location: Location, mirrors: tuple[tuple[str, str], ...]) -> tuple[Location, ...]:
    """Return where else the same bytes may be, in the order to try.

    Raises:
        FetchError: a mirror's replacement is not a location itself.
    """
    found = (_replaced(location, prefix, new) for prefix, new in mirrors)
    return tuple(place for place in found if place is not None)


def _replaced(location: Location, prefix: str, replacement: str) -> Location | None:
    if not location.url.startswith(prefix):
        return None
    base = parse(replacement)
    there = parse(replacement + location.url[len(prefix) :])
    # `https://a.example` + `.evil.example/x` must not become another host
    same = (base.scheme, base.host, base.port) == (there.scheme, there.host, there.port)
    return there if same else None


def _check_text(text: str) -> None:
    if not text or len(text) > MAX_CHARS:
        raise _refused(f"is empty or longer than {MAX_CHARS} characters", "give a shorter one")
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise _refused("has characters that a URL may not have", "percent-encode them")


def _scheme(scheme: str) -> Scheme:
    for known in _SCHEMES:
        if scheme == known:
            return known
    if scheme == "oci":
        raise _refused("is an oci:// reference", "oci:// is not supported yet; use https://")
    raise _refused(
        f"has the scheme {errors.clip(scheme)!r}", "use https://, http:// with sha256, or file://"
    )


def _file(host: str | None, path: str) -> Location:
    if host not in {None, "", "localhost"}:
        raise _refused("is a file:// URL of another host", "write file:///PATH")
    if not path.startswith("/") or "\0" in path:
        raise _refused("is a file:// URL without an absolute path", "write file:///PATH")
    url = "file://" + path
    return Location(url=url, scheme="file", host="", port=0, path=path, shown=errors.clip(url))


def _refused(what: str, advice: str) -> errors.FetchError:
    return errors.FetchError(f"the location {what}", advice=advice)
