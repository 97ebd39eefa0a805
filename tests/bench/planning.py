"""Plans once in this process, and prints how long that took without containerd's dumps.

Runs inside a node: `plan` starts it, anew for each run, with the path of a configuration. So no run
finds what another one has parsed. The dumps are asked for as ever, of the host's own containerd,
and their time is taken off; that of loading grpc and YAML is, too, as `startup` tells of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

import rcm_agent.__main__  # noqa: F401 - sets the garbage collector as the command does
from rcm_agent import apply, look, ports, report, session, settings
from rcm_agent.host import manifests
from rcm_agent.host import open as doors


class _Watched:
    """systemd with a stopwatch on the programs that it runs."""

    def __init__(self, systemd: ports.Systemd) -> None:
        self._systemd = systemd
        self.spent_s = 0.0

    def run_all(
        self, programs: Sequence[Sequence[str]], *, timeout_s: float
    ) -> tuple[ports.Completed, ...]:
        began = time.perf_counter()
        try:
            return self._systemd.run_all(programs, timeout_s=timeout_s)
        finally:
            self.spent_s += time.perf_counter() - began

    @contextlib.contextmanager
    def running(
        self, programs: Sequence[Sequence[str]], *, timeout_s: float
    ) -> Generator[Callable[[], tuple[ports.Completed, ...]]]:
        yield lambda: self.run_all(programs, timeout_s=timeout_s)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._systemd, name)


def main(config: str, manifest: str) -> None:
    """Plan and print the seconds."""
    chosen = settings.Settings(config=config)
    host = doors.open_host()
    shims = manifests.load([manifest])
    look.status(host)  # loads grpc
    began, cpu_began = time.perf_counter(), time.process_time()
    watched = _Watched(host.systemd)
    seen = dataclasses.replace(host, systemd=watched)  # type: ignore[arg-type]
    where = session.locate(seen, chosen)
    with session.opened(seen, where, chosen=chosen, tell=report.Silent()) as work:
        text = apply.explain(apply.preview(work, shims))
    whole_s = time.perf_counter() - began
    document = {
        "own_s": whole_s - watched.spent_s,
        "cpu_s": time.process_time() - cpu_began,
        "dumps_s": watched.spent_s,
        "strategy": text.splitlines()[0],
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main(*sys.argv[1:])
