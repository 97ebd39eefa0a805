"""What the tests of fetching share: a host root, a web server, and one call that fetches.

`Bed.fetch` takes the limits that a test is about as keywords; the others are small enough that a
mistake ends within the test's own time limit.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rcm_agent import errors
from rcm_agent.host import kernel, store, terms
from tests.fakes import shims, web

STORE = "opt/rcm/store"
SHIM = shims.binary(padding=3000)

Tree = dict[str, tuple[int, bytes | None]]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Bed:
    root: Path
    replies: dict[str, web.Reply] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    progress: list[terms.Progress] = field(default_factory=list)
    server: web.Server = field(init=False)

    def __post_init__(self) -> None:
        (self.root / "opt").mkdir(parents=True)
        self.kernel = kernel.RealKernel(str(self.root))
        self.server = web.Server(self.replies)

    def url(self, path: str = "/shim") -> str:
        return self.server.url(path)

    def tree(self) -> Tree:
        """Return every path below the root with its mode and content."""
        return {
            str(path.relative_to(self.root)): (
                path.lstat().st_mode,
                path.read_bytes() if path.is_file() else None,
            )
            for path in sorted(self.root.rglob("*"))
        }

    def fetch(
        self,
        data: bytes | None = SHIM,
        *,
        location: str | None = None,
        sha: str | None = "",
        binary: str | None = None,
        trust: bool = False,
        machine: terms.Machine = "amd64",
        **limits: Any,
    ) -> store.Stored:
        """Fetch `/shim`; the digest is that of `data` unless told otherwise."""
        if sha == "":
            sha = None if data is None else sha256(data)
        small = {"deadline_s": 20.0, "stall_s": 5.0, "connect_s": 5.0, "allow_private": True}
        return store.ensure(
            self.kernel,
            terms.Source(
                location=self.url() if location is None else location, sha256=sha, binary=binary
            ),
            machine=machine,
            policy=terms.Policy(**{**small, **limits}),
            timing=terms.Timing(clock=time.monotonic, wait=self.waits.append, jitter=lambda: 1.0),
            progress=self.progress.append,
            trust_on_first_use=trust,
        )

    def refused(self, match: str, **how: Any) -> errors.FetchError:
        """Fetch, and expect a refusal that leaves the host as it was."""
        before = self.tree()
        with pytest.raises(errors.FetchError, match=match) as caught:
            self.fetch(**how)

        assert self.tree() == before
        assert "\n" not in caught.value.cause + caught.value.advice
        assert caught.value.advice
        return caught.value

    def beside(self, stored: store.Stored) -> list[Path]:
        """Return all files of the entry."""
        return list((self.root / stored.path.lstrip("/")).parent.iterdir())

    def content(self, stored: store.Stored) -> bytes:
        return (self.root / stored.path.lstrip("/")).read_bytes()


@contextlib.contextmanager
def opened(directory: Path) -> Iterator[Bed]:
    bed = Bed(directory / "host")
    try:
        yield bed
    finally:
        bed.server.close()
