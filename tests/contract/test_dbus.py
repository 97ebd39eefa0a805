"""The conversation with systemd's private socket, and everything that may go wrong on it."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from rcm_agent import errors
from rcm_agent.host import dbus, systemd

pytestmark = pytest.mark.timeout(60)
OK = b"OK 0123456789abcdef0123456789abcdef\r\nAGREE_UNIX_FD\r\n"


@pytest.fixture
def path(tmp_path, monkeypatch):
    # A path of a Unix socket has 107 bytes at most.
    monkeypatch.chdir(tmp_path)
    return "private"


@contextlib.contextmanager
def server(path, talk):
    """Listen, and let `talk` answer each connection."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    talk(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def greeted(talk):
    """Greet as systemd does, wait for the first call, then `talk`."""

    def both(connection):
        connection.recv(4096)
        connection.sendall(OK)
        connection.recv(4096)
        talk(connection)

    return both


def hang(connection):
    connection.settimeout(5)
    while connection.recv(4096):
        pass


def field(code: int, signature: bytes, value: bytes) -> bytes:
    return bytes([code, 1]) + signature + b"\0" + value


def answer(body: bytes = b"", signature: bytes = b"", kind: int = 2, error: bytes = b"") -> bytes:
    """Return a message by hand: an answer to the first call."""
    fields = field(5, b"u", struct.pack("<I", 1))
    if error:
        fields += b"\0" * (-len(fields) % 8)
        fields += field(4, b"s", struct.pack("<I", len(error)) + error + b"\0")
    if signature:
        fields += b"\0" * (-len(fields) % 8)
        fields += field(8, b"g", bytes([len(signature)]) + signature + b"\0")
    head = struct.pack("<cBBBIII", b"l", kind, 0, 1, len(body), 7, len(fields))
    return head + fields + b"\0" * (-len(head + fields) % 8) + body


def text(value: bytes) -> bytes:
    return struct.pack("<I", len(value)) + value + b"\0"


FAULTS = {
    "hangs at once": hang,
    "hangs up at once": lambda _: None,
    "refuses": lambda c: (c.recv(4096), c.sendall(b"REJECTED EXTERNAL\r\nERROR\r\n")),
    "greets without descriptors": lambda c: (c.recv(4096), c.sendall(b"OK x\r\nERROR\r\n")),
    "greets with garbage": lambda c: (c.recv(4096), c.sendall(os.urandom(64) + b"\r\n" * 2)),
    "greets without end": lambda c: (c.recv(4096), [c.sendall(b"x" * 4096) for _ in range(99)]),
    "hangs after the call": greeted(hang),
    "hangs up after the call": greeted(lambda _: None),
    "hangs in mid-answer": greeted(lambda c: (c.sendall(answer(text(b"/a"), b"o")[:30]), hang(c))),
    "hangs up in mid-answer": greeted(lambda c: c.sendall(answer(text(b"/a"), b"o")[:30])),
    "answers garbage": greeted(lambda c: (c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), hang(c))),
    "answers noise": greeted(lambda c: (c.sendall(b"l" + bytes(range(255))), hang(c))),
    "answers too little": greeted(lambda c: (c.sendall(answer()), hang(c))),
    "answers another type": greeted(lambda c: (c.sendall(answer(b"\1\0\0\0", b"u")), hang(c))),
    "promises 100 MB": greeted(
        lambda c: (c.sendall(struct.pack("<cBBBIII", b"l", 2, 0, 1, 10**8, 7, 8)), hang(c))
    ),
    "answers another call": greeted(
        lambda c: (c.sendall(answer().replace(struct.pack("<I", 1), b"\x09\0\0\0")), hang(c))
    ),
    "refuses the call": greeted(
        lambda c: c.sendall(answer(text(b"no"), b"s", 3, b"org.freedesktop.DBus.Error.X"))
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_socket_is_an_error_with_advice(path, fault):
    door = systemd.RealSystemd(path, patience_s=0.3)
    began = time.monotonic()
    with server(path, FAULTS[fault]):
        for ask in (lambda: door.unit("x.service"), lambda: door.run(["/bin/true"], timeout_s=0.1)):
            with pytest.raises(errors.UnitError) as caught:
                ask()

            assert caught.value.advice
            assert "\n" not in caught.value.cause
    assert time.monotonic() - began < 10


def test_a_missing_socket_is_an_error_with_advice(path):
    with pytest.raises(errors.UnitError, match="No such file") as caught:
        systemd.RealSystemd(path, patience_s=0.3).unit("x.service")
    assert "systemd" in caught.value.advice


def test_nobody_listening_is_an_error_with_advice(path):
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    with pytest.raises(errors.UnitError, match="Connection refused") as caught:
        systemd.RealSystemd(path, patience_s=0.3).unit("x.service")
    assert caught.value.advice


def test_a_path_that_is_too_long_is_an_error(tmp_path):
    with pytest.raises(errors.UnitError, match="too long"):
        systemd.RealSystemd(str(tmp_path / ("x" * 120))).unit("x.service")


def test_no_descriptor_is_left_open(path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    with server(path, FAULTS["hangs up after the call"]):
        for _ in range(5):
            with pytest.raises(errors.UnitError):
                systemd.RealSystemd(path, patience_s=0.3).run(["/bin/true"], timeout_s=0.1)

    assert len(list(Path("/proc/self/fd").iterdir())) == before


_CONNECT = """
import time
from pathlib import Path
from rcm_agent.host import dbus
slowest = 0
for _ in range(300):
    began = time.monotonic()
    with dbus.Bus() as bus:
        bus.get(dbus.MANAGER, "Manager", "Version")
    slowest = max(slowest, time.monotonic() - began)
print(slowest)
"""


def test_300_conversations_do_not_hang_once(one_real):
    env = {"PYTHONPATH": "/srv/rcm:/srv/rcm-deps"}
    done = one_real.node.exec(["python3", "-c", _CONNECT], env=env, timeout_s=50)

    assert float(done.stdout) < dbus.CALL_S / 2
