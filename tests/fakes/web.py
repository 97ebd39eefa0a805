"""A web server on loopback that misbehaves as told, and throw-away certificates for it.

`Server` maps paths to replies; a reply writes whatever bytes it likes to the wire, and every request
is recorded. A path without a reply is a mistake of the test: it is recorded in `unexpected`, and
`close` raises. Not a simulation: real sockets and real TLS, so that what `requests` does is tested.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
_PATIENCE_S = 5.0
"""Longest life of a connection: no test's thread outlives its time limit."""


@dataclass(frozen=True, slots=True)
class Request:
    target: str
    """Path and query as sent."""
    headers: Mapping[str, str]
    """Names in lower case."""

    @property
    def first_byte(self) -> int:
        """Where a `Range: bytes=N-` begins; 0 without one."""
        asked = self.headers.get("range", "")
        return int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0


@dataclass(slots=True)
class Wire:
    """The server's end of a connection."""

    sock: socket.socket
    stop: threading.Event

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.send(f"HTTP/1.1 {status} Said\r\n{lines}Connection: close\r\n\r\n".encode("latin-1"))

    def reset(self) -> None:
        """Make the next close a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def drip(self, data: bytes, every_s: float) -> None:
        """Send one byte at a time until the client has enough."""
        for at in range(len(data)):
            self.send(data[at : at + 1])
            if self.stop.wait(every_s):
                return


Reply = Callable[[Wire, Request], None]


@dataclass(slots=True)
class Server:
    """Serves on a port of its own until closed."""

    replies: Mapping[str, Reply]
    context: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    _listener: socket.socket = field(init=False)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server((HOST, 0))
        self._start(self._accept)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def url(self, path: str, host: str = HOST) -> str:
        return f"{'http' if self.context is None else 'https'}://{host}:{self.port}{path}"

    def close(self) -> None:
        self._stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(_PATIENCE_S)
        if self.unexpected:
            raise AssertionError(f"no reply for {self.unexpected}")

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            sock.settimeout(_PATIENCE_S)
            try:
                self._answer(sock)
            except OSError:
                return  # the client has left, or refused our certificate

    def _answer(self, sock: socket.socket) -> None:
        if self.context is None:
            return self._speak(sock)
        with self.context.wrap_socket(sock, server_side=True) as secure:
            return self._speak(secure)

    def _speak(self, sock: socket.socket) -> None:
        request = _read(sock)
        if request is None:
            return
        self.requests.append(request)
        path = request.target.partition("?")[0]
        if path in self.replies:
            self.replies[path](Wire(sock, self._stop), request)
        else:
            self.unexpected.append(request.target)


def _read(sock: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(4096)
        if not piece:
            return None
        data += piece
    first, *lines = data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    pairs = (line.split(": ", 1) for line in lines)
    return Request(first.split(" ")[1], {name.lower(): value for name, value in pairs})


# --- replies ----------------------------------------------------------------------------------


def status(code: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Reply:
    """Answer with a status and a short body."""

    def reply(wire: Wire, _: Request) -> None:
        wire.head(code, {"Content-Length": str(len(body)), **(headers or {})})
        wire.send(body)

    return reply


def redirect(target: str, code: int = 302) -> Reply:
    """Send elsewhere."""
    return status(code, {"Location": target})


def content(data: bytes, *, etag: str = "", **headers: str) -> Reply:
    """Serve `data` well, ranges included (RFC 9110, 13.1.5 and 14)."""
    return cut(data, upto=len(data), etag=etag, **headers)


def cut(data: bytes, *, upto: int, reset: bool = False, etag: str = "", **headers: str) -> Reply:
    """Serve as `content`, but drop the connection after `upto` bytes of the body."""

    def reply(wire: Wire, request: Request) -> None:
        tags = {"ETag": etag} if etag else {}
        first = request.first_byte
        valid = etag or headers.get("Last-Modified", "")
        if request.headers.get("if-range", valid) != valid:
            first = 0
        if first and first >= len(data):
            return wire.head(416, {"Content-Range": f"bytes */{len(data)}", "Content-Length": "0"})
        span = {"Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}"} if first else {}
        length = {"Content-Length": str(len(data) - first)}
        wire.head(206 if first else 200, {**length, **span, **tags, **headers})
        wire.send(data[first : first + upto])
        if reset:
            wire.reset()
        return None

    return reply


def broken(data: bytes, *, upto: int, reset: bool = False) -> Reply:
    """Serve the same first bytes every time, whatever Range asks for, and drop the connection."""

    def reply(wire: Wire, _: Request) -> None:
        wire.head(200, {"Content-Length": str(len(data))})
        wire.send(data[:upto])
        if reset:
            wire.reset()

    return reply


def deaf(data: bytes) -> Reply:
    """Serve all of `data` whatever Range asks for."""
    return status(200, body=data)


def chunked(data: bytes, *, finish: bool = True) -> Reply:
    """Serve in chunks, without a length; `finish`: with the last one."""

    def reply(wire: Wire, _: Request) -> None:
        wire.head(200, {"Transfer-Encoding": "chunked"})
        wire.send(
            f"{len(data):x}\r\n".encode() + data + b"\r\n" + (b"0\r\n\r\n" if finish else b"")
        )

    return reply


def endless(wire: Wire, _: Request) -> None:
    """Serve zeros without a length until the client hangs up."""
    wire.head(200, {})
    while not wire.stop.is_set():
        wire.send(bytes(65536))


def drip_body(data: bytes, *, every_s: float) -> Reply:
    """Serve one byte at a time."""

    def reply(wire: Wire, _: Request) -> None:
        wire.head(200, {"Content-Length": str(len(data))})
        wire.drip(data, every_s)

    return reply


def drip_head(*, every_s: float) -> Reply:
    """Serve headers without end, one byte at a time."""

    def reply(wire: Wire, _: Request) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\n")
        wire.drip(b"X-Slow: " + b"z" * 100_000, every_s)

    return reply


def silent(wire: Wire, _: Request) -> None:
    """Never answer."""
    wire.stop.wait(_PATIENCE_S)


def drop(wire: Wire, _: Request) -> None:
    """Reset the connection without a word."""
    wire.reset()


def garbage(wire: Wire, _: Request) -> None:
    """Answer what is no HTTP."""
    wire.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


def in_turn(*replies: Reply) -> Reply:
    """Give the next reply at each request, and the last one from then on."""
    left = iter(replies)
    last = [replies[-1]]

    def reply(wire: Wire, request: Request) -> None:
        last[0] = next(left, last[0])
        last[0](wire, request)

    return reply


# --- certificates -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority that lives as long as the test."""

    directory: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def file(self) -> str:
        return str(self.directory / "ca.pem")

    def context(self, host: str = HOST, *, days: int = 1) -> ssl.SSLContext:
        """Return a server's side for `host`; negative `days`: expired since."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = _certificate(host, key, issuer=self.certificate, signer=self.key, days=days)
        path = self.directory / f"{host}{days}.pem"
        path.write_bytes(_pem(made) + _pem_key(key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def authority(directory: Path) -> Authority:
    """Make a certificate authority whose files are in `directory`."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = _certificate("test CA", key, issuer=None, signer=key, days=1)
    (directory / "ca.pem").write_bytes(_pem(made))
    return Authority(directory, key, made)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    issuer: x509.Certificate | None,
    signer: ec.EllipticCurvePrivateKey,
    days: int,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=2))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(name)]), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
