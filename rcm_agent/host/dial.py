"""One HTTP request, over a connection that goes nowhere unchecked and cannot be held open.

Called by `hops`. Below `requests` sit sockets of our own: they connect to the very addresses that
`addresses` passed (no second look-up in between), and every read ends at the deadline, or when
too little has come for too long, headers and TLS included. Redirects, retries, cookies, proxies,
netrc and content decoding are off: `requests` sends one request and that is all.

`requests` takes 0.2 s and 20 MB to import, so nothing imports this module before it is needed.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests
import requests.adapters
import urllib3
import urllib3.connection
import urllib3.exceptions

from rcm_agent import errors
from rcm_agent.host import addresses, limits, locations

Unreachable = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
"""What the network may raise, while asking and while reading."""


@dataclass(frozen=True, slots=True)
class Dialer:
    """What a connection needs to know."""

    limits: limits.Limits
    allow_private: bool
    """For this host."""

    def connect(self, host: str, port: int) -> socket.socket:
        """Connect to the first of the host's addresses that answers; all are checked first."""
        found = addresses.resolve(host, port, allow_private=self.allow_private)
        problem: OSError = OSError("the name has no address")
        for address in found:
            try:
                return self._connect_to(address, port)
            except OSError as error:
                problem = error
        raise problem

    def _connect_to(self, address: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = plain_socket(self.limits)(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(min(self.limits.connect_s, self.limits.remaining_s()) or 1e-3)
            sock.connect((address, port))
        except OSError:
            sock.close()
            raise
        return sock


def plain_socket(kept: limits.Limits) -> type[socket.socket]:
    """Return a socket class each of whose reads keeps to the limits."""

    class Limited(socket.socket):
        def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
            self.settimeout(kept.next_timeout_s())
            count = super().recv_into(buffer, nbytes, flags)
            kept.note(count)
            return count

    return Limited


def secure_socket(kept: limits.Limits) -> type[ssl.SSLSocket]:
    """Return the same for TLS."""

    class Limited(ssl.SSLSocket):
        def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
            self.settimeout(kept.next_timeout_s())
            count = super().recv_into(buffer, nbytes, flags)
            kept.note(count)
            return count

    return Limited


class _Adapter(requests.adapters.HTTPAdapter):
    """An adapter whose pools use connections of the dialer's."""

    def __init__(self, dialer: Dialer, context: ssl.SSLContext | None) -> None:
        self._dialer = dialer
        self._context = context
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *_: Any, **__: Any) -> None:
        manager = urllib3.PoolManager(num_pools=1, maxsize=1, ssl_context=self._context)
        manager.pool_classes_by_scheme = _pool_classes(self._dialer)
        self.poolmanager = manager


def _pool_classes(dialer: Dialer) -> dict[str, Any]:
    class Plain(urllib3.connection.HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return dialer.connect(self.host, self.port or 80)

    class Secure(urllib3.connection.HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return dialer.connect(self.host, self.port or 443)

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls: Any = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls: Any = Secure

    return {"http": PlainPool, "https": SecurePool}


def _context(ca_file: str | None, kept: limits.Limits) -> ssl.SSLContext:
    """Trust the system's certificates, `ca_file`'s, and those `requests` brings."""
    context = ssl.create_default_context()
    context.sslsocket_class = secure_socket(kept)
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:
            raise errors.FetchError(
                f"cannot read the CA file {ca_file}: {errors.clip(error.strerror or str(error))}",
                advice="name a PEM file with certificates",
            ) from error
    return context


class Answer:
    """A response whose headers have come; its body is read piece by piece, undecoded."""

    def __init__(self, adapter: _Adapter, response: requests.Response) -> None:
        """Wrap a streamed response."""
        self._adapter = adapter
        self._response = response
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    def read(self, limit: int) -> bytes:
        """Return what one read of the connection brings, at most `limit`; empty at the end."""
        data: bytes = self._response.raw.read1(limit, decode_content=False)
        return data

    def close(self) -> None:
        """Drop the connection."""
        self._response.close()
        self._adapter.close()


def ask(
    location: locations.Location,
    headers: Mapping[str, str],
    *,
    dialer: Dialer,
    ca_file: str | None,
) -> Answer:
    """Send one GET and return when the headers have come.

    Raises:
        addresses.Refused: the host is not a public one.
        Unreachable: everything else.
    """
    dialer.limits.reset()
    secure = location.scheme == "https"  # certificates take 50 ms to load
    adapter = _Adapter(dialer, _context(ca_file, dialer.limits) if secure else None)
    try:
        request = requests.Request("GET", location.url, headers=dict(headers)).prepare()
        timeout_s = min(dialer.limits.connect_s, dialer.limits.next_timeout_s())
        response = adapter.send(request, stream=True, timeout=timeout_s, verify=True)
    except BaseException:
        adapter.close()
        raise
    return Answer(adapter, response)


def reason(error: BaseException) -> str:
    """Find the words worth showing in a chain of wrapped errors; no URL is in them."""
    for seen in _chain(error):
        match seen:
            case ssl.SSLCertVerificationError():
                return f"certificate: {seen.verify_message}"
            case requests.RequestException():
                continue
            case OSError():
                return errors.clip(seen.strerror or str(seen) or type(seen).__name__)
            case http.client.IncompleteRead():
                return "the connection ended early"
            case http.client.HTTPException():
                return f"the answer is not HTTP as it should be ({type(seen).__name__})"
            case _:
                continue
    return type(error).__name__


def is_certificate(error: BaseException) -> bool:
    """Tell whether asking again cannot help, because the server is not who it should be."""
    return any(isinstance(seen, ssl.SSLCertVerificationError) for seen in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
