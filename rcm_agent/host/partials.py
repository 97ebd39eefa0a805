"""The file that a download is streamed into, hashed on the way, and continued after a break.

Opened by `store`, filled by `download`. It lives in `/opt/rcm/store/partial` (0700), has mode 0600
and becomes executable only after everything about it was checked. If we die, it stays, and the
next run hashes what is there and goes on; if power goes and its tail with it, the digest will not
match and the download begins anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Generator
from dataclasses import dataclass

from rcm_agent import errors, ports
from rcm_agent.host import files, reading

DIRECTORY = "/opt/rcm/store/partial"

EXECUTABLE = 0o755
_PRIVATE = 0o600


class Interrupted(errors.FetchError):
    """The download broke off; what is there may be continued."""


class DiskRefused(errors.FetchError):
    """The file system said no; another source would fare no better."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the bytes of a partial file came from."""

    url_sha256: str
    """Of the whole URL, which may hold a secret."""
    validator: str
    """A strong ETag or a Last-Modified; empty when the server gave none."""


class Partial:
    """A file under construction, and the hash of what is in it."""

    def __init__(self, kernel: ports.Kernel, key: str) -> None:
        """Name it after what is fetched; touches nothing."""
        self.path = f"{DIRECTORY}/{key}.part"
        self.size = 0
        self.received_bytes = 0
        """Written in this run, also what was thrown away."""
        self.continued = False
        """Whether what is in it may come from more than one version of the artifact."""
        self._kernel = kernel
        self._notes = f"{DIRECTORY}/{key}.json"
        self._hasher = hashlib.sha256()
        self._handle: int | None = None

    def start(self, *, max_bytes: int) -> None:
        """Open it, with what an earlier run left when that is of use."""
        with disk("open", self.path):
            files.make_directory(self._kernel, DIRECTORY, mode=0o700)
            found = self._kernel.lstat(self.path)
            if found is None or found.kind != "file" or not 0 < found.size <= max_bytes:
                return self.restart()
            with reading.open_file(self._kernel, self.path) as file:
                reading.feed(file, self._hasher.update)
            self.size, self.continued = found.size, True
            self._handle = self._kernel.append(self.path)
        return None

    def restart(self) -> None:
        """Throw away what is there and begin with an empty file."""
        with disk("create", self.path):
            self.discard()
            self._handle = self._kernel.create(self.path, _PRIVATE)
        self.size, self.continued, self._hasher = 0, False, hashlib.sha256()

    def write(self, data: bytes | memoryview) -> None:
        """Append, and hash."""
        assert self._handle is not None  # noqa: S101 - `start` comes first
        with disk("write", self.path):
            self._kernel.write(self._handle, data)
        self._hasher.update(data)
        self.size += len(data)
        self.received_bytes += len(data)

    def digest(self) -> str:
        """Return the SHA-256 of all that was written."""
        return self._hasher.hexdigest()

    def origin(self) -> Origin | None:
        """Return where the bytes came from, None when that is not known."""
        try:
            noted = json.loads(self._kernel.read(self._notes))
            return Origin(str(noted["url_sha256"]), str(noted["validator"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def note_origin(self, origin: Origin) -> None:
        """Remember where the bytes come from; a torn note reads as none."""
        text = json.dumps({"url_sha256": origin.url_sha256, "validator": origin.validator})
        with disk("write", self._notes):
            if self._kernel.lstat(self._notes) is not None:
                self._kernel.unlink(self._notes)
            handle = self._kernel.create(self._notes, _PRIVATE)
            try:
                self._kernel.write(handle, text.encode())
            finally:
                self._kernel.close(handle)

    def close(self) -> None:
        """Let go of the handle; the file stays."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            self._kernel.close(handle)

    def discard(self) -> None:
        """Remove the file and its note."""
        self.close()
        for path in (self.path, self._notes):
            if self._kernel.lstat(path) is not None:
                self._kernel.unlink(path)

    def make_executable(self) -> None:
        """Seal the checked file: owner, mode, content on disk. Only `store` may call this."""
        assert self._handle is not None  # noqa: S101 - `start` comes first
        with disk("seal", self.path):
            seal(self._kernel, self._handle)
            self.close()


@contextlib.contextmanager
def opened(kernel: ports.Kernel, key: str, *, max_bytes: int) -> Generator[Partial]:
    """Lend a partial file; afterwards it is gone, unless the download broke off."""
    partial = Partial(kernel, key)
    try:
        partial.start(max_bytes=max_bytes)
        yield partial
    except Exception as error:
        if not (isinstance(error, Interrupted) and partial.size):
            with contextlib.suppress(OSError):  # the first failure is the one worth telling
                partial.discard()
        raise
    finally:
        partial.close()
    with contextlib.suppress(OSError):  # all went well; `store.remove_rest` finds what is left
        partial.discard()


@contextlib.contextmanager
def disk(verb: str, path: str) -> Generator[None]:
    """Turn a refusal of the file system into one that a person can act on."""
    try:
        yield
    except OSError as error:
        raise DiskRefused(
            f"cannot {verb} {path}: {errors.clip(error.strerror or str(error))}",
            advice="check the free space, the mount and the permissions of /opt/rcm",
        ) from error
    except errors.HostError as error:
        raise DiskRefused(error.cause, advice=error.advice) from error


def seal(kernel: ports.Kernel, handle: int) -> None:
    """Make an open file root's, executable, free of setuid bits, and durable."""
    kernel.fchown(handle, 0, 0)
    kernel.fchmod(handle, EXECUTABLE)
    kernel.fsync(handle)
