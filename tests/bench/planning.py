"""Plans in this process, and prints how long that took without containerd's dumps.

Runs inside a node: `plan` starts it with the path of a configuration. The dumps are asked for as
ever, of the host's own containerd, and their time is taken off.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from rcm_agent import apply, ports, report, session, settings
from rcm_agent.host import manifests
from rcm_agent.host import open as doors

RUNS = 9


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

    def __getattr__(self, name: str) -> Any:
        return getattr(self._systemd, name)


def main(config: str, manifest: str) -> None:
    """Plan several times and print the seconds of each."""
    chosen = settings.Settings(config=config)
    host = doors.open_host()
    shims = manifests.load([manifest])
    found: list[tuple[float, float]] = []
    strategy = ""
    for _ in range(RUNS):
        watched = _Watched(host.systemd)
        seen = dataclasses.replace(host, systemd=watched)  # type: ignore[arg-type]
        began = time.perf_counter()
        where = session.locate(seen, chosen)
        with session.opened(seen, where, chosen=chosen, tell=report.Silent()) as work:
            text = apply.explain(apply.preview(work, shims))
        found.append((time.perf_counter() - began - watched.spent_s, watched.spent_s))
        strategy = text.splitlines()[0]
    print(json.dumps({"runs": found, "strategy": strategy}))


if __name__ == "__main__":
    main(*sys.argv[1:])
