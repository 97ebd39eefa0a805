"""What a power cut may leave of a disk.

Called by `kernel` and `explore`. The rules, stricter than ext4 and xfs where POSIX is:

- a file's bytes are safe once that inode was fsynced; without, any earlier content, a prefix of the
  new bytes or as many zeros may be found;
- a name is safe once its directory was fsynced; without, each create, rename, link and unlink may
  or may not have reached the disk, in whatever order, a rename always as a whole;
- a failed fsync means that the bytes are lost for good, whatever a later fsync says;
- tmpfs is gone.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

from tests.fakes import disk as disks

MANY = 512
"""More states than this at one point are sampled, not enumerated; a guess."""


def fsync(disk: disks.Disk, number: int) -> None:
    """Make a file's content, mode and owner durable."""
    inode = disk.inodes[number]
    if not inode.broken:
        inode.durable = inode.data
        inode.versions.clear()
    inode.durable_meta = inode.meta


def fsync_failed(disk: disks.Disk, number: int) -> None:
    """Lose what was not durable: the kernel marks the pages clean and tells it once."""
    disk.inodes[number].broken = True


def fsync_directory(disk: disks.Disk, number: int) -> None:
    """Make a directory's entries durable, and what they depend on."""
    keys: set[tuple[int, str]] = set()
    taken: list[tuple[disks.Change, ...]] = []
    for change in reversed(disk.pending):
        names = {(parent, name) for parent, name, _ in change}
        if names & keys or any(parent == number for parent, _ in names):
            keys |= names
            taken.append(change)
    disk.pending = [change for change in disk.pending if change not in taken]
    for change in reversed(taken):
        _apply(disk, change)


def _apply(disk: disks.Disk, change: tuple[disks.Change, ...]) -> None:
    for parent, name, number in change:
        entries = disk.inodes[parent].durable_entries
        if number is None:
            entries.pop(name, None)
        else:
            entries[name] = number


def contents(inode: disks.Inode) -> list[bytes]:
    """Return every content that a power cut may leave of a file."""
    found = [inode.durable, *inode.versions]
    if inode.versions:
        new = inode.versions[-1]
        found += [new[: len(new) // 2], bytes(len(new))]
    return list(dict.fromkeys(found))


def dirty(disk: disks.Disk) -> list[int]:
    """Return the files whose content is not certain after a power cut."""
    return sorted(n for n, inode in disk.inodes.items() if not inode.mount and inode.versions)


def cut(
    disk: disks.Disk,
    *,
    reached: tuple[int, ...] = (),
    data: dict[int, bytes] | None = None,
) -> disks.Disk:
    """Return the disk after a power cut.

    `reached` are the positions in `disk.pending` that made it; `data` the contents of files that
    were not fsynced; all others have only what is durable.
    """
    entries = {n: dict(inode.durable_entries) for n, inode in disk.inodes.items()}
    for position in reached:
        for parent, name, number in disk.pending[position]:
            entries[parent].pop(name, None)
            if number is not None:
                entries[parent][name] = number
    after = disks.Disk(tmpfs=())
    after.tmpfs = disk.tmpfs
    after.inodes = {disks.ROOT: disks.Inode(kind="dir", mode=0o755)}
    after._next = disk._next
    _copy(disk, after, disks.ROOT, entries=entries, data=data or {})
    for mount, path in enumerate(disk.tmpfs, start=1):
        after.makedirs(path)
        after.inodes[after.walk(path)].mount = mount
    after.settle()
    return after


def _copy(
    disk: disks.Disk,
    after: disks.Disk,
    number: int,
    *,
    entries: dict[int, dict[str, int]],
    data: dict[int, bytes],
) -> None:
    """Copy one inode and what it holds; a directory that was moved is met under one name only."""
    old = disk.inodes[number]
    mode, uid, gid = old.meta if old.kind == "dir" else old.durable_meta
    new = disks.Inode(kind=old.kind, mode=mode, uid=uid, gid=gid, links=old.kind == "dir")
    new.data = old.data if old.kind != "file" else data.get(number, old.durable)
    after.inodes[number] = new
    if old.mount:
        return
    for name, child in entries[number].items():
        if child not in after.inodes:
            _copy(disk, after, child, entries=entries, data=data)
        new.entries[name] = child
        after.inodes[child].links += 1


def power_cut(disk: disks.Disk, seed: int | None = None) -> disks.Disk:
    """Return one state after a power cut: for None only what is durable, else by the seed."""
    if seed is None:
        return cut(disk)
    choose = random.Random(seed)  # noqa: S311 - a test's dice
    count = len(disk.pending)
    reached = [
        range(count),
        range(choose.randint(0, count)),
        [n for n in range(count) if choose.random() < 0.5],
    ][seed % 3]
    data = {number: choose.choice(contents(disk.inodes[number])) for number in dirty(disk)}
    return cut(disk, reached=tuple(reached), data=data)


def power_cuts(disk: disks.Disk, *, many: int = MANY) -> Iterator[disks.Disk]:
    """Yield the states after a power cut: all of them, or `many` chosen by seed when there are more."""
    files = dirty(disk)
    choices = [contents(disk.inodes[number]) for number in files]
    total = 2 ** len(disk.pending)
    for choice in choices:
        total *= len(choice)
    if total > many:
        yield cut(disk)
        yield from (power_cut(disk, seed) for seed in range(many))
        return
    for size in range(len(disk.pending) + 1):
        for reached in itertools.combinations(range(len(disk.pending)), size):
            for data in itertools.product(*choices):
                yield cut(disk, reached=reached, data=dict(zip(files, data, strict=True)))
