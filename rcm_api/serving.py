"""HTTP for kubelet and Prometheus: `/healthz`, `/readyz`, `/metrics`.

Both programs use it. Served by threads of its own; answers from what others left here, asks
nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http import HTTPStatus, server
from typing import Any

import prometheus_client

Check = Callable[[], str]
"""Returns what is wrong, empty: nothing."""


class Server:
    """The server."""

    def __init__(
        self, address: tuple[str, int], *, alive: Check, ready: Check, metrics: Callable[[], bytes]
    ) -> None:
        """Bind the address.

        Raises:
            OSError: it is taken, or not ours.
        """
        pages: dict[str, Callable[[], _Page]] = {
            "/healthz": lambda: _verdict(alive()),
            "/readyz": lambda: _verdict(ready()),
            "/metrics": lambda: _Page(
                HTTPStatus.OK, prometheus_client.CONTENT_TYPE_LATEST, metrics()
            ),
        }
        self._server = server.ThreadingHTTPServer(address, _handler(pages))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="health", daemon=True
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Close."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Page:
    def __init__(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.status = status
        self.kind = kind
        self.body = body


def _verdict(problem: str) -> _Page:
    status = HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK
    return _Page(status, "text/plain; charset=utf-8", f"{problem or 'ok'}\n".encode())


def _handler(
    pages: dict[str, Callable[[], _Page]],
) -> type[server.BaseHTTPRequestHandler]:
    class Handler(server.BaseHTTPRequestHandler):
        timeout = 10
        """Seconds after which a silent client is dropped."""

        def do_GET(self) -> None:
            make = pages.get(self.path.partition("?")[0])
            missing = _Page(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"no such page\n")
            page = missing if make is None else make()
            self.send_response(page.status)
            self.send_header("Content-Type", page.kind)
            self.send_header("Content-Length", str(len(page.body)))
            self.end_headers()
            self.wfile.write(page.body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its parent's word
            """Say nothing: scrapes are no news."""

    return Handler
