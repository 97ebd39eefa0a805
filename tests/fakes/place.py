"""Both kernels, so that a contract test runs on the real one and on the simulated one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rcm_agent import ports
from rcm_agent.host import kernel as real
from tests.fakes import kernel as fake


@dataclass
class Place:
    """An empty host and what a test needs to furnish it."""

    kernel: ports.Kernel
    root: Path | None

    def put(self, path: str, data: bytes = b"", mode: int = 0o644) -> None:
        handle = self.kernel.create(path, 0o600)
        self.kernel.write(handle, data)
        self.kernel.fchmod(handle, mode)
        self.kernel.close(handle)

    def hard_link(self, path: str, other: str) -> None:
        if self.root is not None:
            os.link(f"{self.root}{path}", f"{self.root}{other}")
        elif isinstance(self.kernel, fake.FakeKernel):
            self.kernel.disk.hard_link(path, other)


def make(kind: str, root: Path) -> Place:
    """Return an empty place: on a directory of the real disk, or simulated."""
    if kind == "real":
        return Place(real.RealKernel(str(root)), root)
    return Place(fake.FakeKernel(fake.disks.Disk(tmpfs=())), None)
