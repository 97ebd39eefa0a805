"""The few programs that the simulated host has; anything else is an `UnexpectedCall`.

`run` serves `Systemd.run` (containerd and shims), `execute` the commands of a switch. Commands of
a switch write as the real ones do: without fsync, but for `sync` itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from rcm_agent import errors, ports
from tests.fakes import clock as clocks
from tests.fakes import config, durability, faults, shims, toml, units
from tests.fakes import disk as disks

DUMP_S = 0.025
"""What `config dump` takes on a real node."""
_FAILED = 203
"""systemd's exit status for a program that cannot be executed."""


@dataclass(slots=True)
class Programs:
    """Executables of the host."""

    disk: disks.Disk
    clock: clocks.Clock
    release: tuple[int, int, int]
    service: units.Service
    executed: list[tuple[str, str]] = field(default_factory=list)
    """Path and SHA-256 of every shim that was executed."""

    def run(self, argv: Sequence[str], timeout_s: float) -> ports.Completed:
        """Run a program to its end."""
        match list(argv):
            case [program, "--config" | "-c", path, "config", "dump"] if self._containerd(program):
                self.clock.advance(DUMP_S)
                return self._dump(path)
            case [program, "--version"] if self._containerd(program):
                version = ".".join(map(str, self.release))
                text = f"containerd github.com/containerd/containerd v{version} abc\n"
                return ports.Completed(0, text.encode(), b"")
            case [program, "-v" | "-info"] if program.startswith("/opt/rcm/"):
                return self._version(program, timeout_s)
        raise faults.UnexpectedCall(f"run {list(argv)}")

    def _containerd(self, program: str) -> bool:
        return program == self.service.argv[0]

    def _dump(self, path: str) -> ports.Completed:
        try:
            text = toml.dumps(config.load(self.disk, path, self.release).dump())
        except config.Unreadable as error:
            return ports.Completed(1, b"", f"containerd: {error}\n".encode())
        return ports.Completed(0, text.encode(), b"")

    def _version(self, path: str, timeout_s: float) -> ports.Completed:
        found = self.shim(path)
        if found is None:
            raise errors.UnitError(f"the host cannot run {path}: status {_FAILED}")
        if found.kind == "HANG":
            self.clock.advance(timeout_s)
            raise errors.UnitError(f"{path} was not done after {timeout_s:g} s and was killed")
        self.clock.advance(0.01)
        return shims.version_text(path, found)

    def shim(self, path: str) -> shims.Behaviour | None:
        """Execute what is at `path`: None when the kernel refuses."""
        try:
            number = self.disk.walk(self.disk.realpath(path))
        except OSError:
            return None
        inode = self.disk.inodes[number]
        if inode.kind != "file" or not inode.mode & 0o111 or self.disk.writers[number]:
            return None
        found = shims.behaviour(inode.data)
        if found is not None:
            self.executed.append((path, found.sha256))
        return found

    def execute(self, argv: Sequence[str]) -> int:
        """Run one command of a switch; the job to wait for, else 0. A failure is ignored."""
        name = PurePosixPath(argv[0]).name
        match [name, *argv[1:]]:
            case ["rm", "-f", *paths] if paths:
                for path in paths:
                    self._try(self._remove, path)
            case ["cp", "-p", source, target]:
                self._try(self._copy, source, target)
            case ["install", "-m", mode, source, target]:
                self._try(self._install, mode, source, target)
            case ["mv", "-f", source, target] | ["mv", "-f", "-T", source, target]:
                self._try(self._move, source, target)
            case ["sync", path]:
                self._try(self._sync, path)
            case ["ln", "-sfn", text, path]:
                self._try(self._link, text, path)
            case ["systemctl", "reset-failed", unit] if unit == self.service.name:
                self.service.reset_failed()
            case ["systemctl", "restart", unit] if unit == self.service.name:
                return self.service.restart("switch")
            case _:
                raise faults.UnexpectedCall(f"switch runs {list(argv)}")
        return 0

    @staticmethod
    def _try(command: Callable[..., None], *arguments: str) -> None:
        try:
            command(*arguments)
        except OSError:
            return

    def _remove(self, path: str) -> None:
        if self.disk.itself(path) is not None:
            self.disk.change((*self.disk.entry(path), None))

    def _copy(self, source: str, target: str) -> None:
        inode = self.disk.follow(source)
        self.disk.put(target, inode.data, mode=inode.mode)
        found = self.disk.follow(target)
        found.mode, found.uid, found.gid = inode.meta

    def _install(self, mode: str, source: str, target: str) -> None:
        """As install(1): the target is removed first, then written anew."""
        data = self.disk.follow(source).data
        self._remove(target)
        self.disk.put(target, data, mode=int(mode, 8))

    def _sync(self, path: str) -> None:
        durability.fsync(self.disk, self.disk.walk(self.disk.realpath(path)))

    def _link(self, text: str, path: str) -> None:
        self._remove(path)
        self.disk.link(text, path)

    def _move(self, source: str, target: str) -> None:
        number = self.disk.itself(source)
        if number is None:
            raise FileNotFoundError(source)
        old, new = self.disk.entry(source), self.disk.entry(target)
        if self.disk.inodes[old[0]].mount != self.disk.inodes[new[0]].mount:
            self._copy(source, target)
            self.disk.change((*old, None))
            return
        self.disk.change((*old, None), (*new, number))
