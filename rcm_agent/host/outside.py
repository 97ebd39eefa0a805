"""Files of the host that a pod does not have: the host's own coreutils look at them for us.

Called by `pod_kernel`. Each question is one transient unit (0.05 to 0.2 s), so this is for what is
looked at rarely: os-release, a foreign import of containerd's configuration, an artifact that lies
on the node. Nothing here changes a file, but for `sync`.
"""

from __future__ import annotations

import errno
import posixpath
import stat as modes
from collections.abc import Sequence

from rcm_agent import ports
from rcm_agent.host import kernel, transient
from rcm_agent.host.systemd import RealSystemd

LOOK_S = 10.0
"""For a look at a file; milliseconds, but a node may page from a slow disk or hang on NFS."""
COPY_S = 300.0
"""For the largest artifact from a slow disk: 256 MiB at 1 MB/s. A guess."""
COPY_BYTES = 512 << 20
"""Twice the largest artifact that is taken (`terms.Policy.max_bytes`), which `download` tells."""

_C = ("/usr/bin/env", "LC_ALL=C")
"""Messages in English: they say which error it was."""
_ERRORS = {
    "No such file or directory": errno.ENOENT,
    "Not a directory": errno.ENOTDIR,
    "Is a directory": errno.EISDIR,
    "Permission denied": errno.EACCES,
    "Too many levels of symbolic links": errno.ELOOP,
    "Invalid argument": errno.EINVAL,
}
_PRESENT = 'for p; do if [ -e "$p" ] || [ -L "$p" ]; then printf "%s\\0" "$p"; fi; done'


class Outside:
    """The host's file system, as programs of the host see it."""

    def __init__(self, systemd: RealSystemd) -> None:
        """Ask through this service manager."""
        self._systemd = systemd

    def stat(self, path: str) -> ports.Stat | None:
        """Return what lstat tells, None when nothing is there.

        Raises:
            OSError: it cannot be looked at.
            UnitError: systemd could not run the program; so do all methods.
        """
        try:
            return self._stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _stat(self, path: str) -> ports.Stat:
        said = self._ask(path, "stat", "--format=%f %u %g %s %h", "--", path)
        mode, uid, gid, size, links = said.split()
        bits = int(mode, 16)
        return ports.Stat(
            kind=kernel.kind(bits),
            mode=modes.S_IMODE(bits),
            uid=int(uid),
            gid=int(gid),
            size=int(size),
            links=int(links),
        )

    def present(self, paths: Sequence[str]) -> frozenset[str]:
        """Return those of the paths where something is, links not followed."""
        said = self._ask(paths[0], "/bin/sh", "-c", _PRESENT, "sh", *paths)
        return frozenset(_names(said))

    def realpath(self, path: str) -> str:
        """Follow every symbolic link; missing parts are kept."""
        return _names(self._ask(path, "readlink", "-m", "-z", "--", path))[0]

    def readlink(self, path: str) -> str:
        """Return a symbolic link's text."""
        if self._stat(path).kind != "link":
            raise OSError(errno.EINVAL, "not a symbolic link", path)
        return _names(self._ask(path, "readlink", "-z", "--", path))[0]

    def listdir(self, path: str) -> tuple[str, ...]:
        """Return the names in a directory, sorted."""
        below = ("-mindepth", "1", "-maxdepth", "1", "-printf", "%f\\0")
        # The slash: a link to a directory is meant as that directory.
        return tuple(sorted(_names(self._ask(path, "find", posixpath.join(path, ""), *below))))

    def read(self, path: str) -> bytes:
        """Return a small file's whole content.

        Raises:
            OSError: it cannot be read, or has a megabyte or more.
        """
        said = self._ask(path, "cat", "--", path)
        if len(said) >= transient.OUTPUT_BYTES:
            raise OSError(errno.EFBIG, "too large for a file that is read whole", path)
        return said

    def copy(self, path: str, handle: int) -> None:
        """Write a regular file's content into an open file of ours.

        Raises:
            OSError: it is none, cannot be read, or is larger than `COPY_BYTES`.
        """
        if self._stat(self.realpath(path)).kind != "file":
            raise OSError(errno.EINVAL, "not a regular file", path)
        argv = (*_C, "cat", "--", path)
        done = self._systemd.run_into(handle, argv, timeout_s=COPY_S, limit_bytes=COPY_BYTES)
        _check(path, done)

    def sync(self, path: str) -> None:
        """Make a directory's entries durable."""
        self._ask(path, "sync", "--", path)

    def _ask(self, path: str, *argv: str) -> bytes:
        done = self._systemd.run((*_C, *argv), timeout_s=LOOK_S)
        _check(path, done)
        return done.stdout


def _check(path: str, done: ports.Completed) -> None:
    if done.exit_code == 0:
        return
    if done.exit_code < 0:
        raise OSError(
            errno.EFBIG, f"the host's program was ended by signal {-done.exit_code}", path
        )
    words = done.stderr.decode(errors="replace").strip()
    known = next((number for text, number in _ERRORS.items() if words.endswith(text)), errno.EIO)
    raise OSError(known, words.rpartition(": ")[2] or f"exit code {done.exit_code}", path)


def _names(said: bytes) -> list[str]:
    return [name.decode(errors="surrogateescape") for name in said.split(b"\0")[:-1]]
