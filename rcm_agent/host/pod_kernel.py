"""Files of the host as an agent in a pod sees them (`ports.Kernel`).

The pod has a few directories of the host, each at the host's own path; everything else at that path
is the image's and means nothing. What lies in those directories is used as it is; the rest of the
host is looked at by programs of the host (`outside`), and cannot be changed.

Links are followed as the host follows them: one that leads out of the directories is looked up by
the host. Capabilities are not assumed: a file of another owner may be unreadable, see `kernel`.
"""

from __future__ import annotations

import errno
import os
import posixpath
import secrets
from collections.abc import Sequence

from rcm_agent import ports
from rcm_agent.host import files, kernel
from rcm_agent.host.outside import Outside

COPIES = "/opt/rcm/store/partial"
"""Where a copy of a host's file is while it is read; it has no name any more then."""

_OUTSIDE = "it is not in a directory of the host that the pod has mounted"


class PodKernel(kernel.RealKernel):
    """The host's files, some of them mounted."""

    def __init__(self, outside: Outside, mounts: Sequence[str]) -> None:
        """Use what is below `mounts` directly."""
        super().__init__("/")
        self._outside = outside
        self._mounts = tuple(mounts)

    # --- looking ---

    def lstat(self, path: str) -> ports.Stat | None:
        """Return what is at `path` itself, None when nothing is."""
        if self._here(path) or self._above(path):
            return super().lstat(path)
        return self._outside.stat(path)

    def present(self, paths: Sequence[str]) -> frozenset[str]:
        """Return those of the paths where something is; one question for all that is outside."""
        outside = [path for path in paths if not self._here(path)]
        found = super().present([path for path in paths if path not in outside])
        return found | self._outside.present(outside) if outside else found

    def within_reach(self, path: str) -> bool:
        """Tell whether what `path` leads to is mounted."""
        return self._inside(self.realpath(path))

    def realpath(self, path: str) -> str:
        """Follow every symbolic link as the host does."""
        if self._inside(path):
            found = os.path.realpath(path)
            if self._inside(found):
                return found
        return self._outside.realpath(path)

    def read(self, path: str) -> bytes:
        """Return a file's whole content."""
        real = self._real(path)
        return super().read(real) if real else self._outside.read(path)

    def open_read(self, path: str) -> int:
        """Open a file for reading; one from outside is copied first, as a pod cannot open it."""
        real = self._real(path)
        if real:
            return super().open_read(real)
        name = f"{COPIES}/{secrets.token_hex(8)}{files.TEMPORARY}"
        handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.unlink(name)  # noqa: PTH108 - from here on nothing is left if we die
            self._outside.copy(path, handle)
            os.lseek(handle, 0, os.SEEK_SET)
        except BaseException:
            os.close(handle)
            raise
        return handle

    def listdir(self, path: str) -> tuple[str, ...]:
        """Return the names in a directory, sorted."""
        real = self._real(path)
        return super().listdir(real) if real else self._outside.listdir(path)

    def readlink(self, path: str) -> str:
        """Return a symbolic link's text."""
        return super().readlink(path) if self._here(path) else self._outside.readlink(path)

    def fsync_dir(self, path: str) -> None:
        """Make the directory's entries durable; the parents of what is mounted by the host."""
        real = self._real(path)
        if real:
            super().fsync_dir(real)
        else:
            self._outside.sync(path)

    # --- where ---

    def _parent(self, path: str) -> str:
        """Return where an entry is that may be looked at, or changed.

        Raises:
            OSError: outside of what is mounted.
        """
        if not (self._here(path) or self._above(path)):
            raise OSError(errno.EROFS, _OUTSIDE, path)
        return path

    def _real(self, path: str) -> str:
        """Return where `path` leads to if that is mounted, else nothing."""
        if not self._inside(path):
            return ""
        real = os.path.realpath(path)
        return real if self._inside(real) else ""

    def _here(self, path: str) -> bool:
        """Tell whether the entry `path`, not what it may link to, is in a mounted directory."""
        if not self._inside(path):
            return False
        return posixpath.normpath(path) in self._mounts or bool(self._real(posixpath.dirname(path)))

    def _inside(self, path: str) -> bool:
        plain = posixpath.normpath(path)
        return any(plain == mount or plain.startswith(f"{mount}/") for mount in self._mounts)

    def _above(self, path: str) -> bool:
        """Tell whether something below `path` is mounted: then the directory is on the host too."""
        prefix = posixpath.join(posixpath.normpath(path), "")
        return any(mount.startswith(prefix) for mount in self._mounts)
