"""Inodes and directory entries as programs see them, with what the platters know kept beside.

Called by `kernel` (the agent's door) and by every other part of the simulated host, which use it
directly: their effects are no kill points. `durability` decides what a power cut leaves.
"""

from __future__ import annotations

import errno
import fnmatch
import functools
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

MAX_LINKS = 40
"""As `rcm_agent.host.kernel`."""

ROOT = 1

Kind = Literal["file", "dir", "link", "other"]
Change = tuple[int, str, int | None]
"""Directory inode, name, inode that the name then has."""


def failure(number: int, path: str) -> OSError:
    """Return the OSError of a call on `path`, of the subclass that Python picks."""
    return OSError(number, os.strerror(number), path)


@dataclass(slots=True)
class Inode:
    kind: Kind
    mode: int
    uid: int = 0
    gid: int = 0
    data: bytes = b""
    """A file's content or a link's text."""
    entries: dict[str, int] = field(default_factory=dict)
    links: int = 1
    mount: int = 0
    """0: the disk; else which tmpfs."""
    durable: bytes = b""
    durable_meta: tuple[int, int, int] = (0, 0, 0)
    durable_entries: dict[str, int] = field(default_factory=dict)
    versions: list[bytes] = field(default_factory=list)
    """Contents since the last fsync: any of them may have reached the disk."""
    broken: bool = False
    """An fsync failed: the kernel forgot the dirty pages, a later fsync proves nothing."""

    @property
    def meta(self) -> tuple[int, int, int]:
        return self.mode, self.uid, self.gid


@functools.lru_cache(maxsize=4096)
def parts(path: str) -> tuple[str, ...]:
    """Return the names in a path; pathlib does the same ten times slower."""
    return tuple(part for part in path.split("/") if part not in {"", "."})


def split(path: str) -> tuple[str, str]:
    """Return directory and last name of a path."""
    *above, name = parts(path) or ("",)
    return "/" + "/".join(above), name


class Disk:
    """One tree of files; mounts of tmpfs in it are lost at a power cut."""

    def __init__(self, *, tmpfs: tuple[str, ...] = ("/run", "/tmp")) -> None:
        self.inodes: dict[int, Inode] = {ROOT: Inode(kind="dir", mode=0o755)}
        self.pending: list[tuple[Change, ...]] = []
        self.locks: dict[int, int] = {}
        """Inode to handle."""
        self.writers: Counter[int] = Counter()
        """Inodes that are open for writing: they cannot be executed (ETXTBSY)."""
        self.tmpfs = tmpfs
        self.out_of_reach: tuple[str, ...] = ()
        """Directories that are not mounted into the agent's pod."""
        self._next = ROOT
        for number, path in enumerate(tmpfs, start=1):
            self.makedirs(path)
            self.inodes[self.walk(path)].mount = number
        self.settle()

    # --- names ---

    def realpath(self, path: str) -> str:
        """Follow every link; missing parts are kept as written."""
        todo = [*reversed(parts(path))]
        done: list[str] = []
        here: list[Inode | None] = [self.inodes[ROOT]]
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                del done[-1:]
                del here[len(done) + 1 :]
                continue
            parent = here[-1]
            number = parent.entries.get(part) if parent is not None else None
            inode = None if number is None else self.inodes[number]
            if inode is None or inode.kind != "link":
                done.append(part)
                here.append(inode)
                continue
            links += 1
            if links > MAX_LINKS:
                raise failure(errno.ELOOP, path)
            text = inode.data.decode()
            if text.startswith("/"):
                done.clear()
                del here[1:]
            todo.extend(reversed(parts(text)))
        return "/" + "/".join(done)

    def walk(self, path: str) -> int:
        """Return the inode at a path without links in its parents."""
        number = ROOT
        for part in parts(path):
            inode = self.inodes[number]
            if inode.kind != "dir":
                raise failure(errno.ENOTDIR, path)
            if part not in inode.entries:
                raise failure(errno.ENOENT, path)
            number = inode.entries[part]
        return number

    def entry(self, path: str) -> tuple[int, str]:
        """Return the directory (links followed) and the last name of `path`."""
        above, name = split(path)
        if name in {"", ".."}:
            above, name = split(self.realpath(path))
        parent = self.walk(self.realpath(above))
        if self.inodes[parent].kind != "dir":
            raise failure(errno.ENOTDIR, path)
        return parent, name

    def itself(self, path: str) -> int | None:
        """Return the inode at `path`, a last link not followed; None when nothing is."""
        if path == "/":
            return ROOT
        try:
            parent, name = self.entry(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return self.inodes[parent].entries.get(name)

    def follow(self, path: str) -> Inode:
        """Return what is at `path`, links followed."""
        return self.inodes[self.walk(self.realpath(path))]

    # --- changes ---

    def new(self, inode: Inode, parent: int) -> int:
        self._next += 1
        inode.mount = self.inodes[parent].mount
        inode.durable_meta = inode.meta
        self.inodes[self._next] = inode
        return self._next

    def change(self, *changes: Change) -> None:
        """Change directory entries, all in one step."""
        for parent, name, number in changes:
            entries = self.inodes[parent].entries
            old = entries.pop(name, None)
            if old is not None:
                self.inodes[old].links -= 1
            if number is not None:
                entries[name] = number
                self.inodes[number].links += 1
        if not self.inodes[changes[0][0]].mount:
            self.pending.append(changes)

    def add(self, path: str, inode: Inode) -> int:
        """Put a new inode at a name that must be free."""
        parent, name = self.entry(path)
        if name in self.inodes[parent].entries:
            raise failure(errno.EEXIST, path)
        inode.links = 0
        number = self.new(inode, parent)
        self.change((parent, name, number))
        return number

    def set_data(self, number: int, data: bytes) -> None:
        inode = self.inodes[number]
        inode.data = data
        inode.versions.append(data)

    # --- helpers of tests and of the other parts of the host ---

    def makedirs(self, path: str) -> None:
        """Create a directory and its parents; existing ones are fine."""
        if self.itself(self.realpath(path)) is not None:
            return
        self.makedirs(split(path)[0])
        self.add(path, Inode(kind="dir", mode=0o755))

    def put(self, path: str, data: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
        """Make `path` hold `data` as a program without fsync would: truncate, then write."""
        target = self.realpath(path)
        number = self.itself(target)
        if number is None:
            self.makedirs(split(target)[0])
            number = self.add(target, Inode(kind="file", mode=mode, uid=uid, gid=gid))
        elif self.inodes[number].kind != "file":
            raise failure(errno.EISDIR, path)
        else:
            self.set_data(number, b"")
        self.set_data(number, data)

    def link(self, text: str, path: str) -> None:
        self.makedirs(split(path)[0])
        self.add(path, Inode(kind="link", mode=0o777, data=text.encode()))

    def hard_link(self, path: str, other: str) -> None:
        parent, name = self.entry(other)
        self.change((parent, name, self.walk(path)))

    def special(self, path: str) -> None:
        """Put a socket there."""
        self.makedirs(split(path)[0])
        self.add(path, Inode(kind="other", mode=0o660))

    def get(self, path: str) -> bytes | None:
        """Return a file's content, links followed; None when nothing is there."""
        try:
            found = self.follow(path)
        except OSError:
            return None
        return found.data if found.kind == "file" else None

    def forget(self, path: str) -> None:
        """Remove `path` and everything below; nothing there is fine."""
        number = self.itself(path)
        if number is None:
            return
        for name in list(self.inodes[number].entries):
            self.forget(f"{path}/{name}")
        parent, name = self.entry(path)
        self.change((parent, name, None))

    def tree(self, path: str = "/") -> Iterator[tuple[str, Inode]]:
        """Yield every path below `path` with what is there, sorted."""
        number = self.itself(path)
        if number is not None:
            yield from self._below(path, number)

    def _below(self, path: str, number: int) -> Iterator[tuple[str, Inode]]:
        inode = self.inodes[number]
        yield path, inode
        above = path.rstrip("/")
        for name in sorted(inode.entries):
            yield from self._below(f"{above}/{name}", inode.entries[name])

    def glob(self, pattern: str) -> list[str]:
        """Return what Go's filepath.Glob would: `*` matches dotfiles too."""
        found = ["/"]
        for part in parts(pattern):
            found = [
                f"{here.rstrip('/')}/{name}" for here in found for name in self._matches(here, part)
            ]
        return sorted(found)

    def _matches(self, directory: str, part: str) -> list[str]:
        try:
            inode = self.follow(directory)
        except OSError:
            return []
        return [name for name in inode.entries if fnmatch.fnmatchcase(name, part)]

    def settle(self) -> None:
        """Make everything durable, as `sync` does."""
        self.pending.clear()
        for inode in self.inodes.values():
            inode.durable, inode.durable_meta = inode.data, inode.meta
            inode.durable_entries = dict(inode.entries)
            inode.versions.clear()
