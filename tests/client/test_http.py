"""The real transport against servers and networks that misbehave."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from rcm_api.client import credentials, errors, http
from rcm_api.client.transport import Request
from tests.client.loopback import STREAM, Answer, chunk, reply, serving

GET = Request("GET", "/api/v1/nodes", timeout_s=5)
WATCH = replace(GET, query={"watch": "true"}, timeout_s=0.3)


class Logins:
    """Credentials that count renewals; a token each."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.renewals = 0

    def current(self) -> credentials.Login:
        return credentials.Login(self.url, token=f"Bearer token-{self.renewals}")

    def renewed(self) -> credentials.Login:
        self.renewals += 1
        return self.current()


@contextlib.contextmanager
def connected(answer: Answer) -> Iterator[http.Http]:
    with serving(answer) as url, contextlib.closing(http.Http(Logins(url), agent="t/1")) as found:
        yield found


def test_an_answer_comes_with_status_headers_and_body():
    def answer(found: socket.socket, _head: bytes) -> None:
        found.sendall(reply(b'{"a":1}', status="404 Not Found", headers="Retry-After: 3\r\n"))

    with connected(answer) as moves:
        said = moves.send(GET)

    assert (said.status, said.headers["retry-after"], said.body) == (404, "3", b'{"a":1}')


def test_a_request_says_who_asks_and_what_for():
    heads: list[bytes] = []

    def answer(found: socket.socket, head: bytes) -> None:
        heads.append(head)
        found.sendall(reply())

    request = Request("PATCH", "/x", query={"fieldManager": "a b"}, body=b"{}", content_type="t/p")
    with connected(answer) as moves:
        moves.send(request)
    head = heads[0].decode().lower()

    assert head.startswith("patch /x?fieldmanager=a+b http/1.1")
    for line in ("authorization: bearer token-0", "user-agent: t/1", "content-type: t/p"):
        assert line in head


def test_one_connection_serves_many_requests():
    connections: set[int] = set()

    def answer(found: socket.socket, _head: bytes) -> None:
        connections.add(found.getpeername()[1])
        found.sendall(reply())

    with connected(answer) as moves:
        for _ in range(5):
            moves.send(GET)

    assert len(connections) == 1


@pytest.mark.parametrize("valid_from", [1, 2])
def test_a_refused_token_is_renewed_once(valid_from: int):
    def answer(found: socket.socket, head: bytes) -> None:
        good = f"token-{valid_from}".encode() in head
        found.sendall(reply(status="200 OK" if good else "401 Unauthorized"))

    with connected(answer) as moves:
        said = moves.send(GET)

    assert said.status == (200 if valid_from == 1 else 401)


def test_a_watch_renews_its_token_too():
    def answer(found: socket.socket, head: bytes) -> None:
        if b"token-1" in head:
            found.sendall(STREAM + chunk(b"line\n") + chunk(b""))
        else:
            found.sendall(reply(status="401 Unauthorized"))

    with connected(answer) as moves, moves.stream(WATCH) as lines:
        assert list(lines) == [b"line"]


def test_lines_may_be_cut_anywhere():
    def answer(found: socket.socket, _head: bytes) -> None:
        found.sendall(STREAM)
        for part in (b"on", b"e\ntwo\nth", b"ree\n", b""):
            found.sendall(chunk(part))

    with connected(answer) as moves, moves.stream(WATCH) as lines:
        assert list(lines) == [b"one", b"two", b"three"]


def test_a_silent_watch_is_frozen():
    def answer(found: socket.socket, _head: bytes) -> None:
        found.sendall(STREAM + chunk(b"one\n"))

    with connected(answer) as moves, moves.stream(WATCH) as lines:
        assert next(lines) == b"one"
        with pytest.raises(errors.Frozen):
            next(lines)


def test_a_silent_server_is_unreachable_and_not_frozen():
    def answer(_found: socket.socket, _head: bytes) -> None:
        pass

    with connected(answer) as moves, pytest.raises(errors.Unreachable) as caught:
        moves.send(replace(GET, timeout_s=0.2))

    assert type(caught.value) is errors.Unreachable


def test_a_watch_that_is_refused_says_why():
    def answer(found: socket.socket, _head: bytes) -> None:
        found.sendall(reply(b'{"reason":"Expired","code":410}', status="410 Gone"))

    with connected(answer) as moves, pytest.raises(errors.Gone), moves.stream(WATCH):
        pass


BREAKS = [
    pytest.param(b"", id="before the answer"),
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", id="in the body"),
    pytest.param(b"HTTP/1.1 2", id="in the head"),
    pytest.param(b"nonsense\r\n\r\n", id="no HTTP"),
]


@pytest.mark.parametrize("said", BREAKS)
def test_a_broken_connection_is_unreachable(said: bytes):
    def answer(found: socket.socket, _head: bytes) -> None:
        found.sendall(said)
        found.shutdown(socket.SHUT_RDWR)

    with connected(answer) as moves, pytest.raises(errors.Unreachable):
        moves.send(GET)


@pytest.mark.parametrize("method", ["GET", "PATCH", "POST"])
def test_nothing_is_sent_twice(method: str):
    """Whether a write was done is the caller's to find out."""
    heads: list[bytes] = []

    def answer(found: socket.socket, head: bytes) -> None:
        heads.append(head)
        found.shutdown(socket.SHUT_RDWR)

    with connected(answer) as moves, pytest.raises(errors.Unreachable):
        moves.send(Request(method, "/x", body=b"{}"))

    assert len(heads) == 1


@pytest.mark.parametrize("said", [b"", b"5\r\nab", b"zz\r\n"])
def test_a_broken_watch_is_unreachable(said: bytes):
    def answer(found: socket.socket, _head: bytes) -> None:
        found.sendall(STREAM + said)
        found.shutdown(socket.SHUT_RDWR)

    with (
        connected(answer) as moves,
        moves.stream(WATCH) as lines,
        pytest.raises(errors.Unreachable),
    ):
        list(lines)


def test_what_a_caller_raises_while_watching_stays_what_it_is():
    def answer(found: socket.socket, _head: bytes) -> None:
        found.sendall(STREAM + chunk(b"one\n"))

    def break_off(line: bytes) -> None:
        raise ValueError(f"mine: {line!r}")

    with connected(answer) as moves, pytest.raises(ValueError, match="mine: b'one'"):
        watched(moves, break_off)


def watched(moves: http.Http, call: Callable[[bytes], None]) -> None:
    with moves.stream(WATCH) as lines:
        for line in lines:
            call(line)


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    moves = http.Http(Logins(f"http://127.0.0.1:{port}"), agent="t")
    with pytest.raises(errors.Unreachable, match="refused"):
        moves.send(replace(GET, query={"secret": "1"}))


def test_redirects_are_not_followed():
    def answer(found: socket.socket, _head: bytes) -> None:
        found.sendall(reply(status="302 Found", headers="location: http://192.0.2.1/\r\n"))

    with connected(answer) as moves:
        assert moves.send(GET).status == 302


def test_close_ends_a_watch_in_another_thread():
    caught: list[BaseException] = []
    watching = threading.Event()

    def answer(found: socket.socket, _head: bytes) -> None:
        found.sendall(STREAM + chunk(b"one\n"))

    def follow() -> None:
        with moves.stream(replace(WATCH, timeout_s=60)) as lines:
            try:
                for _ in lines:
                    watching.set()
            except errors.ApiError as error:
                caught.append(error)

    with connected(answer) as moves:
        thread = threading.Thread(target=follow)
        thread.start()
        assert watching.wait(5)
        began = time.monotonic()
        moves.close()
        thread.join(5)
        took = time.monotonic() - began
        with pytest.raises(errors.Unreachable):
            moves.send(GET)

    assert took < 1
    assert [type(error) for error in caught] == [errors.Unreachable]
