"""A web server for shims, where nodes and pods reach it: counts what is fetched, fails when told.

    with fileserver.start(cluster.gateway) as server:
        file = server.add(shims.archive("v0.1.0"))
        manifest = {"location": file.url, "sha256": file.sha256}
        server.fail(file, status=503, times=2)

A path names the content's SHA-256, so a URL never means other bytes. `Range: bytes=N-` is answered.
"""

import collections
import collections.abc
import contextlib
import dataclasses
import hashlib
import http
import http.server
import pathlib
import threading

_RANGE = "bytes="


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """A file that is served.

    Attributes:
        url: Where.
        sha256: Of its content, in hexadecimal.
        size: In bytes.
    """

    url: str
    sha256: str
    size: int


@dataclasses.dataclass(slots=True)
class _Fault:
    status: int | None
    after_bytes: int
    times: int


class Server:
    """A running server."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._files: dict[str, bytes] = {}
        self._faults: dict[str, _Fault] = {}
        self._counts: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()
        self.http = http.server.ThreadingHTTPServer(address, _handler(self))
        host, port = self.http.server_address[:2]
        self.url = f"http://{host!s}:{port}"

    def add(self, content: bytes | pathlib.Path, *, name: str = "") -> File:
        """Serve a file from now on; `name` ends its URL, for what looks at a suffix."""
        data = content.read_bytes() if isinstance(content, pathlib.Path) else content
        name = name or (content.name if isinstance(content, pathlib.Path) else "file")
        sha256 = hashlib.sha256(data).hexdigest()
        path = f"/{sha256}/{name}"
        with self._lock:
            self._files[path] = data
        return File(self.url + path, sha256, len(data))

    def count(self, file: File) -> int:
        """Return how often the file was asked for, failures included."""
        with self._lock:
            return self._counts[self._path(file)]

    def fail(self, file: File, *, status: int = 503, times: int = 1) -> None:
        """Answer the next requests for the file with an error."""
        self._set(file, _Fault(status, 0, times))

    def cut(self, file: File, *, after_bytes: int, times: int = 1) -> None:
        """End the next answers early, as a broken connection does."""
        self._set(file, _Fault(None, after_bytes, times))

    def heal(self, file: File) -> None:
        """Forget what `fail` and `cut` said."""
        with self._lock:
            self._faults.pop(self._path(file), None)

    def answer(self, path: str) -> tuple[int, bytes, int | None]:
        """Return status, content and after how many bytes to end early. For the handler only."""
        with self._lock:
            self._counts[path] += 1
            data = self._files.get(path)
            fault = self._faults.get(path)
            if data is None:
                return http.HTTPStatus.NOT_FOUND, b"", None
            if fault is None or fault.times == 0:
                return http.HTTPStatus.OK, data, None
            fault.times -= 1
            if fault.status is not None:
                return fault.status, b"", None
            return http.HTTPStatus.OK, data, fault.after_bytes

    def _set(self, file: File, fault: _Fault) -> None:
        with self._lock:
            self._faults[self._path(file)] = fault

    def _path(self, file: File) -> str:
        return file.url.removeprefix(self.url)


@contextlib.contextmanager
def start(host: str, *, port: int = 0) -> collections.abc.Iterator[Server]:
    """Serve on an address of this machine, for example `cluster.gateway`, until the block ends."""
    server = Server((host, port))
    thread = threading.Thread(target=server.http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        thread.join()
        server.http.server_close()


def _handler(server: Server) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, data, after_bytes = server.answer(self.path)
            first = self._first_byte(data)
            if status == http.HTTPStatus.OK and first:
                status = http.HTTPStatus.PARTIAL_CONTENT
            self.send_response(status)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - first))
            self.send_header("Accept-Ranges", "bytes")
            self.end_headers()
            self.wfile.write(data[first:][:after_bytes])

        def _first_byte(self, data: bytes) -> int:
            asked = self.headers.get("Range", "").removeprefix(_RANGE).removesuffix("-")
            return int(asked) if asked.isdecimal() and int(asked) < len(data) else 0

        def log_message(self, *_: object) -> None:
            pass

    return Handler
