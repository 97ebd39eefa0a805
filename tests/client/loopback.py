"""A server on loopback that answers each connection with bytes from a script."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Answer = Callable[[socket.socket, bytes], None]
"""Gets the connection and the head of the request that came."""


@contextlib.contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """Answer every request on every connection; return the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:
        thread = threading.Thread(target=_accept, args=(listener, answer, stack), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def _accept(listener: socket.socket, answer: Answer, stack: contextlib.ExitStack) -> None:
    while True:
        try:
            found, _ = listener.accept()
        except OSError:
            return
        stack.callback(found.close)
        threading.Thread(target=_converse, args=(found, answer), daemon=True).start()


def _converse(found: socket.socket, answer: Answer) -> None:
    with contextlib.suppress(OSError):
        while head := _head(found):
            answer(found, head)


def _head(found: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = found.recv(65536)
        if not more:
            return b""
        data += more
    return data


def reply(body: bytes = b"{}", *, status: str = "200 OK", headers: str = "") -> bytes:
    """Return a whole answer."""
    return b"HTTP/1.1 %s\r\ncontent-length: %d\r\n%s\r\n%s" % (
        status.encode(),
        len(body),
        headers.encode(),
        body,
    )


STREAM = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Return a chunk of a stream; an empty one ends it."""
    return b"%x\r\n%s\r\n" % (len(data), data)
