"""The real system calls on files, below one root directory (`ports.Kernel`).

Called by `files`, `store` and `look`. With a root other than `/`, symbolic links are followed
inside that root, as the host itself would follow them.
"""

from __future__ import annotations

import fcntl
import os
import stat as modes
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Literal

from rcm_agent import ports

MAX_LINKS = 40
"""The kernel's own limit on links in one path (path_resolution(7))."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_LOCK = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class RealKernel:
    """Files of the host that is mounted at `root`."""

    def __init__(self, root: str = "/") -> None:
        """Serve the host below `root`."""
        self._root = root.rstrip("/")

    def _parent(self, path: str) -> str:
        """Where `path` really is: links in its parents followed, its last part not."""
        if not self._root:
            return path  # the system call follows them itself, and much faster
        pure = PurePosixPath(path)
        if pure.name in {"", ".."}:
            return self._root + self.realpath(path)
        return self._root + self.realpath(str(pure.parent)).rstrip("/") + "/" + pure.name

    def _follow(self, path: str) -> str:
        return self._root + self.realpath(path) if self._root else path

    def realpath(self, path: str) -> str:
        """Follow every symbolic link inside the root; missing parts are kept as written."""
        if not self._root:
            return os.path.realpath(path)
        todo = [part for part in reversed(PurePosixPath(path).parts) if part != "/"]
        done = "/"
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                done = str(PurePosixPath(done).parent)
                continue
            here = done.rstrip("/") + "/" + part
            try:
                text = os.readlink(self._root + here)  # noqa: PTH115
            except OSError:
                done = here
                continue
            links += 1
            if links > MAX_LINKS:
                raise OSError(40, "Too many levels of symbolic links", path)
            if text.startswith("/"):
                done = "/"
            todo.extend(p for p in reversed(PurePosixPath(text).parts) if p != "/")
        return done

    def lstat(self, path: str) -> ports.Stat | None:
        """Return what is at `path` itself, None when nothing is."""
        try:
            found = os.lstat(self._parent(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return ports.Stat(
            kind=kind(found.st_mode),
            mode=modes.S_IMODE(found.st_mode),
            uid=found.st_uid,
            gid=found.st_gid,
            size=found.st_size,
            links=found.st_nlink,
        )

    def within_reach(self, path: str) -> bool:  # noqa: ARG002 - the whole host is
        """Tell whether the agent has it: it has all."""
        return True

    def present(self, paths: Sequence[str]) -> frozenset[str]:
        """Return those of the paths where something is, links not followed."""
        return frozenset(path for path in paths if self.lstat(path) is not None)

    def read(self, path: str) -> bytes:
        """Return a file's whole content."""
        with open(self._follow(path), "rb") as file:  # noqa: PTH123 - one style for all calls here
            return file.read()

    def open_read(self, path: str) -> int:
        """Open a file for reading, links followed; never waits on a fifo or a terminal."""
        return os.open(self._root + self.realpath(path), _READ)

    def listdir(self, path: str) -> tuple[str, ...]:
        """Return the names in a directory, sorted."""
        return tuple(sorted(os.listdir(self._follow(path))))  # noqa: PTH208

    def readlink(self, path: str) -> str:
        """Return a symbolic link's text."""
        return os.readlink(self._parent(path))  # noqa: PTH115

    def mkdir(self, path: str, mode: int) -> None:
        """Create one directory with exactly these permission bits."""
        target = self._parent(path)
        os.mkdir(target, mode)  # noqa: PTH102
        os.chmod(target, mode)  # noqa: PTH101

    def create(self, path: str, mode: int) -> int:
        """Create a file that must not exist, open for writing."""
        return os.open(self._parent(path), _NEW, mode)

    def append(self, path: str) -> int:
        """Open an existing regular file for appending."""
        return os.open(self._parent(path), _APPEND)

    def write(self, handle: int, data: bytes | memoryview) -> None:
        """Write all of `data`."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]

    def fchmod(self, handle: int, mode: int) -> None:
        """Set permission bits."""
        os.fchmod(handle, mode)

    def fchown(self, handle: int, uid: int, gid: int) -> None:
        """Set the owner; without CAP_CHOWN that works only where it is so already."""
        found = os.fstat(handle)
        if (found.st_uid, found.st_gid) != (uid, gid):
            os.fchown(handle, uid, gid)

    def fsync(self, handle: int) -> None:
        """Make the file's content durable."""
        os.fsync(handle)

    def close(self, handle: int) -> None:
        """Close a handle."""
        os.close(handle)

    def rename(self, source: str, target: str) -> None:
        """Replace `target` by `source` in one step."""
        os.rename(self._parent(source), self._parent(target))  # noqa: PTH104

    def symlink(self, text: str, path: str) -> None:
        """Create a symbolic link that must not exist."""
        os.symlink(text, self._parent(path))  # noqa: PTH211

    def unlink(self, path: str) -> None:
        """Remove a file or link."""
        os.unlink(self._parent(path))  # noqa: PTH108

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        os.rmdir(self._parent(path))  # noqa: PTH106

    def fsync_dir(self, path: str) -> None:
        """Make the directory's entries durable."""
        handle = os.open(self._follow(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def lock(self, path: str) -> int | None:
        """Take an exclusive flock on `path`; None when somebody has it."""
        handle = os.open(self._parent(path), _LOCK, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        return handle


def kind(mode: int) -> Literal["file", "dir", "link", "other"]:
    """Return what st_mode says a file is."""
    if modes.S_ISREG(mode):
        return "file"
    if modes.S_ISDIR(mode):
        return "dir"
    return "link" if modes.S_ISLNK(mode) else "other"
