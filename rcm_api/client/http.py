"""The real transport: HTTPS with connections that are kept.

By urllib3 and not by requests, though design §3 names that: a patch of a Node of 14 KB costs
0.45 ms of CPU there and 0.78 ms with requests (Python 3.11, TLS, 1,200 patches each, taken in turn);
with paths, JSON and errors of `api` on top it is 0.50 ms, 0.46 ms where only metadata comes back. At
5,000 nodes and 3.2 writes per node that is 8 s, of 40 s for the whole controller. An event of 14 KB
on a watch costs 0.03 ms, its decoding included as far as `api` does it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3

from rcm_api.client import credentials, errors, transport

CONNECTIONS = 16
"""Kept open at most: four watches, the Lease, and more writers at a time than make sense."""
CONNECT_S = 10.0
"""A guess; a packet lost twice is sent again after 1 and 3 s."""
_CHUNK = 1 << 16
_UNAUTHORIZED = 401
_OK = 200


class Http:
    """One server; safe to use in several threads."""

    def __init__(self, logins: credentials.Credentials, *, agent: str) -> None:
        """Connect when first asked; `agent` is what the server's logs show."""
        self._logins = logins
        self._agent = agent
        self._lock = threading.Lock()
        self._pool: urllib3.HTTPConnectionPool | None = None
        self._login: credentials.Login | None = None
        self._prefix = ""
        self._open: set[urllib3.BaseHTTPResponse] = set()
        self._closed = False

    def send(self, request: transport.Request) -> transport.Response:
        """Return the answer; a 401 is asked again once with a renewed login."""
        answer = self._answer(request, self._logins.current(), stream=False)
        if answer.status == _UNAUTHORIZED:
            answer = self._answer(request, self._logins.renewed(), stream=False)
        return _response(answer)

    @contextlib.contextmanager
    def stream(self, request: transport.Request) -> Generator[Iterator[bytes]]:
        """Open a stream of lines."""
        answer = self._answer(request, self._logins.current(), stream=True)
        if answer.status == _UNAUTHORIZED:
            answer.close()
            answer = self._answer(request, self._logins.renewed(), stream=True)
        try:
            with self._watched(answer):
                _refuse(request, answer)
                yield _lines(request, answer)
        finally:
            answer.close()

    def close(self) -> None:
        """End all streams, and refuse what is asked from now on."""
        with self._lock:
            self._closed = True
            streams = list(self._open)
            pool, self._pool = self._pool, None
        for answer in streams:
            with contextlib.suppress(OSError, ValueError):  # it has just ended by itself
                answer.shutdown()
        if pool is not None:
            pool.close()

    def _answer(
        self, request: transport.Request, login: credentials.Login, *, stream: bool
    ) -> urllib3.BaseHTTPResponse:
        headers = {"accept": request.accept, "user-agent": self._agent}
        if request.body:
            headers["content-type"] = request.content_type
        if login.token:
            headers["authorization"] = login.token
        query = f"?{urlencode(request.query)}" if request.query else ""
        connect_s = min(CONNECT_S, request.timeout_s)
        pool = self._connected(login)
        try:
            return pool.urlopen(
                request.method,
                f"{self._prefix}{request.path}{query}",
                body=request.body or None,
                headers=headers,
                timeout=urllib3.Timeout(connect=connect_s, read=request.timeout_s),
                preload_content=not stream,
                decode_content=False,
                redirect=False,
                retries=False,
            )
        except _FAILURES as error:
            raise _told(request, error) from error

    def _connected(self, login: credentials.Login) -> urllib3.HTTPConnectionPool:
        """Return the connections, new ones when the login names other files or another server."""
        with self._lock:
            if self._closed:
                raise errors.Unreachable("this client was closed")
            if self._pool is None or not _same_place(self._login, login):
                self._pool = _pool(login)
                self._prefix = urlsplit(login.url).path.rstrip("/")
            self._login = login
            return self._pool

    @contextlib.contextmanager
    def _watched(self, answer: urllib3.BaseHTTPResponse) -> Generator[None]:
        """Let `close` reach an open stream."""
        with self._lock:
            self._open.add(answer)
            closed = self._closed
        try:
            if closed:
                raise errors.Unreachable("this client was closed")
            yield
        finally:
            with self._lock:
                self._open.discard(answer)


_FAILURES = (urllib3.exceptions.HTTPError, OSError, ValueError)
"""ValueError: of http.client, for a chunk that has no length because the server died."""


def _told(request: transport.Request, error: Exception) -> errors.Unreachable:
    """Say what went wrong in our own words: urllib3's messages hold whole URLs."""
    what = f"{request.method} {request.path}"
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        kind = errors.Frozen if "watch" in request.query else errors.Unreachable
        return kind(f"{what}: nothing came for {request.timeout_s:.0f} s")
    return errors.Unreachable(f"{what}: {_reason(error)}")


def _reason(error: BaseException) -> str:
    """Return the innermost cause; the outer ones only repeat it, with URLs and object ids."""
    inner = error.__cause__ or error.__context__
    return _reason(inner) if inner is not None else f"{type(error).__name__} {error}"


def _refuse(request: transport.Request, answer: urllib3.BaseHTTPResponse) -> None:
    if answer.status != _OK:
        try:
            found = _response(answer)
        except _FAILURES as error:
            raise _told(request, error) from error
        raise errors.refused(
            f"WATCH {request.path}", status=found.status, headers=found.headers, body=found.body
        )


def _response(answer: urllib3.BaseHTTPResponse) -> transport.Response:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return transport.Response(answer.status, headers, answer.data)


def _lines(request: transport.Request, answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    try:
        for chunk in answer.stream(_CHUNK, decode_content=False):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from filter(None, lines)
    except _FAILURES as error:
        raise _told(request, error) from error


def _same_place(one: credentials.Login | None, other: credentials.Login) -> bool:
    """Tell whether two logins differ in nothing but their token."""
    return one is other or (one is not None and replace(one, token="") == replace(other, token=""))


def _pool(login: credentials.Login) -> urllib3.HTTPConnectionPool:
    settings: dict[str, Any] = {
        "maxsize": CONNECTIONS,
        "cert_reqs": "CERT_REQUIRED" if login.verify else "CERT_NONE",
        "ca_certs": login.ca_file or None,
        "cert_file": login.cert_file or None,
        "key_file": login.key_file or None,
    }
    if login.server_name:
        settings |= {"server_hostname": login.server_name, "assert_hostname": login.server_name}
    tunnel = login.proxy and login.url.startswith("https:")
    manager = (
        urllib3.ProxyManager(login.proxy, **settings) if tunnel else urllib3.PoolManager(**settings)
    )
    return manager.connection_from_url(login.url)
