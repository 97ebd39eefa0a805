"""`ports.Kernel` on a simulated disk: same results and same errors as `rcm_agent.host.kernel`.

`contract/test_kernel.py` holds both to the same tests. The agent's files are its handles and locks:
`release` lets go of them as the end of a process does.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rcm_agent import ports
from tests.fakes import disk as disks
from tests.fakes import durability, faults

UMASK = 0o022


@dataclass(slots=True)
class _Open:
    inode: int
    path: str
    lock: bool = False


class FakeKernel:
    """One process's view of a disk."""

    def __init__(self, disk: disks.Disk | None = None, gate: faults.Gate | None = None) -> None:
        self.disk = disk or disks.Disk()
        self.gate = gate or faults.Gate()
        self._open: dict[int, _Open] = {}

    # --- the power ---

    def power_cut(self, seed: int | None = None) -> FakeKernel:
        """Return the kernel after a reboot; see `durability.power_cut`."""
        return FakeKernel(durability.power_cut(self.disk, seed))

    def power_cuts(self) -> Iterator[FakeKernel]:
        """Yield a kernel for every state that a power cut may leave."""
        return (FakeKernel(disk) for disk in durability.power_cuts(self.disk))

    def release(self) -> None:
        """Close every handle, as the end of the process does."""
        for handle in list(self._open):
            self._close(handle)

    # --- looking ---

    def lstat(self, path: str) -> ports.Stat | None:
        self.gate.before("kernel.lstat", path, effect=False)
        number = self.disk.itself(path)
        if number is None:
            return None
        inode = self.disk.inodes[number]
        return ports.Stat(
            kind=inode.kind,
            mode=inode.mode,
            uid=inode.uid,
            gid=inode.gid,
            size=len(inode.data),
            links=inode.links,
        )

    def within_reach(self, path: str) -> bool:
        real = self.disk.realpath(path)
        return not any(real.startswith(f"{far}/") for far in self.disk.out_of_reach)

    def present(self, paths: Sequence[str]) -> frozenset[str]:
        return frozenset(path for path in paths if self.lstat(path) is not None)

    def realpath(self, path: str) -> str:
        self.gate.before("kernel.realpath", path, effect=False)
        return self.disk.realpath(path)

    def read(self, path: str) -> bytes:
        self.gate.before("kernel.read", path, effect=False)
        inode = self.disk.follow(path)
        if inode.kind == "dir":
            raise disks.failure(errno.EISDIR, path)
        if inode.kind == "other":
            raise disks.failure(errno.ENXIO, path)
        return inode.data

    def listdir(self, path: str) -> tuple[str, ...]:
        self.gate.before("kernel.listdir", path, effect=False)
        inode = self.disk.follow(path)
        if inode.kind != "dir":
            raise disks.failure(errno.ENOTDIR, path)
        return tuple(sorted(inode.entries))

    def readlink(self, path: str) -> str:
        self.gate.before("kernel.readlink", path, effect=False)
        inode = self._itself(path)
        if inode.kind != "link":
            raise disks.failure(errno.EINVAL, path)
        return inode.data.decode()

    def _itself(self, path: str) -> disks.Inode:
        parent, name = self.disk.entry(path)
        number = self.disk.inodes[parent].entries.get(name)
        if number is None:
            raise disks.failure(errno.ENOENT, path)
        return self.disk.inodes[number]

    # --- files ---

    def mkdir(self, path: str, mode: int) -> None:
        self.gate.before("kernel.mkdir", path)
        self.disk.add(path, disks.Inode(kind="dir", mode=mode))
        self.gate.after()

    def create(self, path: str, mode: int) -> int:
        self.gate.before("kernel.create", path)
        number = self.disk.add(path, disks.Inode(kind="file", mode=mode & ~UMASK))
        self.gate.after()
        return self._opened(number, path)

    def append(self, path: str) -> int:
        self.gate.before("kernel.append", path, effect=False)
        number = self.disk.itself(path)
        if number is None:
            self.disk.entry(path)
            raise disks.failure(errno.ENOENT, path)
        self._refuse_special(number, path)
        return self._opened(number, path)

    def _refuse_special(self, number: int, path: str) -> None:
        refused = {"link": errno.ELOOP, "dir": errno.EISDIR, "other": errno.ENXIO}
        kind = self.disk.inodes[number].kind
        if kind in refused:
            raise disks.failure(refused[kind], path)

    def _opened(self, number: int, path: str, *, lock: bool = False) -> int:
        handle = next(n for n in range(3, 1024) if n not in self._open)
        self._open[handle] = _Open(number, path, lock)
        self.disk.writers[number] += 1
        return handle

    def _of(self, handle: int) -> tuple[int, disks.Inode]:
        if handle not in self._open:
            raise disks.failure(errno.EBADF, "")
        number = self._open[handle].inode
        return number, self.disk.inodes[number]

    def _path(self, handle: int) -> str:
        """Return what the file was opened as, for the log."""
        return self._open[handle].path

    def write(self, handle: int, data: bytes | memoryview) -> None:
        number, inode = self._of(handle)
        self.gate.before("kernel.write", self._path(handle))
        before = inode.data
        if len(data) > 1:
            self.disk.set_data(number, before + bytes(data[: len(data) // 2]))
            self.gate.during()
        self.disk.set_data(number, before + bytes(data))
        self.gate.after()

    def fchmod(self, handle: int, mode: int) -> None:
        _, inode = self._of(handle)
        self.gate.before("kernel.fchmod", self._path(handle))
        inode.mode = mode
        self.gate.after()

    def fchown(self, handle: int, uid: int, gid: int) -> None:
        _, inode = self._of(handle)
        self.gate.before("kernel.fchown", self._path(handle))
        inode.uid, inode.gid = uid, gid
        self.gate.after()

    def fsync(self, handle: int) -> None:
        number, _ = self._of(handle)
        try:
            self.gate.before("kernel.fsync", self._path(handle))
        except OSError:
            durability.fsync_failed(self.disk, number)
            raise
        durability.fsync(self.disk, number)
        self.gate.after()

    def close(self, handle: int) -> None:
        self._of(handle)
        self.gate.before("kernel.close", effect=False)
        self._close(handle)

    def _close(self, handle: int) -> None:
        opened = self._open.pop(handle)
        self.disk.writers[opened.inode] -= 1
        if opened.lock:
            self.disk.locks.pop(opened.inode, None)

    # --- names ---

    def rename(self, source: str, target: str) -> None:
        self.gate.before("kernel.rename", target)
        old, new = self.disk.entry(source), self.disk.entry(target)
        inodes = self.disk.inodes
        number = inodes[old[0]].entries.get(old[1])
        if number is None:
            raise disks.failure(errno.ENOENT, source)
        if inodes[old[0]].mount != inodes[new[0]].mount:
            raise disks.failure(errno.EXDEV, source)
        there = inodes[new[0]].entries.get(new[1])
        if there != number:
            self._refuse_rename(number, there, target)
            self.disk.change((*old, None), (*new, number))
        self.gate.after()

    def _refuse_rename(self, number: int, there: int | None, target: str) -> None:
        inodes = self.disk.inodes
        is_dir = inodes[number].kind == "dir"
        if is_dir and number in self._above(target):
            raise disks.failure(errno.EINVAL, target)
        if there is None:
            return
        if inodes[there].kind == "dir" and not is_dir:
            raise disks.failure(errno.EISDIR, target)
        if inodes[there].kind != "dir" and is_dir:
            raise disks.failure(errno.ENOTDIR, target)
        if inodes[there].entries:
            raise disks.failure(errno.ENOTEMPTY, target)

    def _above(self, path: str) -> set[int]:
        real = self.disk.realpath(path).split("/")[:-1]
        return {self.disk.walk("/".join(real[:n]) or "/") for n in range(1, len(real) + 1)}

    def symlink(self, text: str, path: str) -> None:
        self.gate.before("kernel.symlink", path)
        self.disk.add(path, disks.Inode(kind="link", mode=0o777, data=text.encode()))
        self.gate.after()

    def unlink(self, path: str) -> None:
        self.gate.before("kernel.unlink", path)
        if self._itself(path).kind == "dir":
            raise disks.failure(errno.EISDIR, path)
        self.disk.change((*self.disk.entry(path), None))
        self.gate.after()

    def rmdir(self, path: str) -> None:
        self.gate.before("kernel.rmdir", path)
        inode = self._itself(path)
        if inode.kind != "dir":
            raise disks.failure(errno.ENOTDIR, path)
        if inode.entries:
            raise disks.failure(errno.ENOTEMPTY, path)
        self.disk.change((*self.disk.entry(path), None))
        self.gate.after()

    def fsync_dir(self, path: str) -> None:
        self.gate.before("kernel.fsync_dir", path)
        number = self.disk.walk(self.disk.realpath(path))
        if self.disk.inodes[number].kind != "dir":
            raise disks.failure(errno.ENOTDIR, path)
        durability.fsync_directory(self.disk, number)
        self.gate.after()

    def lock(self, path: str) -> int | None:
        number = self.disk.itself(path)
        self.gate.before("kernel.lock", path, effect=number is None)
        if number is None:
            number = self.disk.add(path, disks.Inode(kind="file", mode=0o600))
        self._refuse_special(number, path)
        if number in self.disk.locks:
            return None
        handle = self._opened(number, path, lock=True)
        self.disk.locks[number] = handle
        self.gate.after()
        return handle
