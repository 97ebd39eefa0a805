"""Changing host files so that any reader, at any instant, sees all of the old or all of the new.

Called by `run`, `store` and `journal_file`. Built on `ports.Kernel` alone, so the same code runs
on the simulated host that cuts the power.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import PurePosixPath

from rcm_agent import errors, ports

_DISK = "check the disk, the mount and the permissions of that path"
_RIGHTS = (
    "make root the owner and the group of that file, without attributes (lsattr): an agent in a "
    "pod has no right to change what belongs to others"
)

TEMPORARY = ".rcm-tmp"
"""Ends every temporary name: never `.toml`, which containerd's import globs would read."""


def digest(data: bytes | None) -> str:
    """Return the SHA-256 of a file's content as 64 hex digits; empty for no file."""
    return "" if data is None else hashlib.sha256(data).hexdigest()


def read(kernel: ports.Kernel, path: str) -> bytes | None:
    """Return a regular file's content, None when nothing is there.

    Raises:
        HostError: it is there and cannot be read (a directory, a dangling link, no permission).
    """
    if kernel.lstat(path) is None:
        return None
    try:
        return kernel.read(path)
    except OSError as error:
        raise _failed("read", path, error) from error


def make_directory(kernel: ports.Kernel, path: str, *, mode: int = 0o755) -> None:
    """Create a directory and its parents, each durable; one that exists stays as it is."""
    if path == "/" or kernel.lstat(path) is not None:
        return
    parent = str(PurePosixPath(path).parent)
    make_directory(kernel, parent, mode=0o755)
    try:
        with contextlib.suppress(FileExistsError):  # another download was faster
            kernel.mkdir(path, mode)
        kernel.fsync_dir(parent)
    except OSError as error:
        raise _failed("create directory", path, error) from error


def replace(
    kernel: ports.Kernel,
    path: str,
    data: bytes,
    *,
    expected: bytes | None,
    mode: int = 0o644,
) -> bool:
    """Make `path` hold `data`; False when it already does and nothing was written.

    A symbolic link is kept and its target replaced. Mode and owner of an existing file are kept;
    `mode` is for a new one. `expected` is what the caller saw when it decided.

    If we die before the rename, a temporary file is left beside the old one; after it, all is new.

    Raises:
        Conflict: the file holds neither `expected` nor `data`: somebody else changed it.
        HostError: the file system refused; the old content is still there.
    """
    if read(kernel, path) == data:
        return False
    target = kernel.realpath(path)
    before = kernel.lstat(target)
    temporary = target + TEMPORARY
    with _to_be_renamed(kernel, temporary, verb="write", path=path):
        _write_new(kernel, temporary, data, like=before, mode=mode)
        _require(kernel, path, expected)
        kernel.rename(temporary, target)
        kernel.fsync_dir(str(PurePosixPath(target).parent))
    return True


def remove(kernel: ports.Kernel, path: str) -> bool:
    """Remove a file or link durably; False when there was none."""
    if kernel.lstat(path) is None:
        return False
    try:
        kernel.unlink(path)
        kernel.fsync_dir(str(PurePosixPath(path).parent))
    except OSError as error:
        raise _failed("remove", path, error) from error
    return True


def remove_expected(kernel: ports.Kernel, path: str, *, expected: bytes | None) -> bool:
    """Remove a file that still holds `expected`; False when there was none.

    Raises:
        Conflict: it holds something else: somebody changed it.
    """
    if kernel.lstat(path) is None:
        return False
    _require(kernel, path, expected)
    return remove(kernel, path)


def remove_directory(kernel: ports.Kernel, path: str) -> bool:
    """Remove a directory if it is there and empty."""
    found = kernel.lstat(path)
    if found is None or found.kind != "dir" or kernel.listdir(path):
        return False
    try:
        kernel.rmdir(path)
        kernel.fsync_dir(str(PurePosixPath(path).parent))
    except OSError as error:
        raise _failed("remove directory", path, error) from error
    return True


def remove_tree(kernel: ports.Kernel, path: str) -> None:
    """Remove whatever is at `path`, a directory with all that is in it."""
    found = kernel.lstat(path)
    if found is None:
        return
    if found.kind != "dir":
        remove(kernel, path)
        return
    for name in kernel.listdir(path):
        remove_tree(kernel, f"{path}/{name}")
    remove_directory(kernel, path)


def lock(kernel: ports.Kernel, path: str) -> int | None:
    """Take an exclusive lock; None when somebody has it."""
    try:
        return kernel.lock(path)
    except OSError as error:
        raise _failed("lock", path, error) from error


def read_link(kernel: ports.Kernel, path: str) -> str | None:
    """Return a symbolic link's text, None when there is no link at `path`."""
    found = kernel.lstat(path)
    return kernel.readlink(path) if found is not None and found.kind == "link" else None


def swap_link(kernel: ports.Kernel, path: str, text: str) -> bool:
    """Make `path` a symbolic link to `text` in one step; False when it already is.

    Raises:
        HostError: something that is not a link is there, or the file system refused.
    """
    found = kernel.lstat(path)
    if found is not None and found.kind != "link":
        raise errors.HostError(
            f"{path} is not a symbolic link of ours",
            advice="move that file away, then run the command again",
        )
    if found is not None and kernel.readlink(path) == text:
        return False
    temporary = path + TEMPORARY
    with _to_be_renamed(kernel, temporary, verb="link", path=path):
        kernel.symlink(text, temporary)
        kernel.rename(temporary, path)
        kernel.fsync_dir(str(PurePosixPath(path).parent))
    return True


def settle(kernel: ports.Kernel, paths: Iterable[str]) -> None:
    """Make the names of `paths` durable, up to the root.

    A run that was killed between a rename and its fsync leaves what looks done, and what a power
    cut may still take back; whoever goes on from there must call this first.

    Raises:
        HostError: the file system refused.
    """
    parents = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    for path in sorted(parents):
        if kernel.lstat(path) is None:
            continue
        try:
            kernel.fsync_dir(path)
        except OSError as error:
            raise _failed("make durable", path, error) from error


def remove_temporary(kernel: ports.Kernel, path: str) -> None:
    """Remove what `replace` or `swap_link` of `path` left when it was killed."""
    remove(kernel, path + TEMPORARY)
    remove(kernel, kernel.realpath(path) + TEMPORARY)


@contextmanager
def _to_be_renamed(
    kernel: ports.Kernel, temporary: str, *, verb: str, path: str
) -> Generator[None]:
    """Frame the making of `temporary` and its renaming to `path`: it is not there before and after.

    Raises:
        HostError: the file system refused, told with `verb` and `path`.
    """
    try:
        _remove_leftover(kernel, temporary)
        yield
    except OSError as error:
        _discard(kernel, temporary)
        raise _failed(verb, path, error) from error
    except BaseException:  # Conflict, a read that failed, an interrupt
        _discard(kernel, temporary)
        raise


def _require(kernel: ports.Kernel, path: str, expected: bytes | None) -> None:
    if read(kernel, path) != expected:
        raise errors.Conflict(
            f"{path} was changed by somebody else between our look and our write",
            advice="run the command again; nothing was changed",
        )


def _write_new(
    kernel: ports.Kernel, path: str, data: bytes, *, like: ports.Stat | None, mode: int
) -> None:
    handle = kernel.create(path, 0o600)
    try:
        kernel.write(handle, data)
        if like is not None:
            kernel.fchown(handle, like.uid, like.gid)
        kernel.fchmod(handle, mode if like is None else like.mode)
        kernel.fsync(handle)
    finally:
        kernel.close(handle)


def _remove_leftover(kernel: ports.Kernel, temporary: str) -> None:
    if kernel.lstat(temporary) is not None:
        kernel.unlink(temporary)


def _discard(kernel: ports.Kernel, temporary: str) -> None:
    """Try to leave nothing behind; the first failure is the one worth telling."""
    try:
        _remove_leftover(kernel, temporary)
    except OSError:
        return


def _failed(verb: str, path: str, error: OSError) -> errors.HostError:
    return errors.HostError(
        f"cannot {verb} {path}: {errors.clip(error.strerror or str(error))}",
        advice=_RIGHTS if isinstance(error, PermissionError) else _DISK,
    )
