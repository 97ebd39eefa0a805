"""Asks CRI its version every 5 ms and writes down when it did not answer. Runs inside a node.

`inside.Poller` starts it. Two files in `DIRECTORY`: a line of JSON per outage, and the handlers
that containerd listed after the last one. An outage lasts from the last answer before it to the
first after it, so it is never told too short. Times are of CLOCK_MONOTONIC.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from rcm_agent import errors
from rcm_agent.host import cri
from rcm_agent.host.channel import Channel
from rcm_agent.host.proto import cri_pb2 as pb

DIRECTORY = Path("/run/rcm-bench")
OUTAGES = DIRECTORY / "outages"
HANDLERS = DIRECTORY / "handlers"
SOCKET = "/run/containerd/containerd.sock"
INTERVAL_S = 0.005
TIMEOUT_S = 1.0
"""For an answer of a containerd that listens and does not serve yet; the answer ends the wait."""


def main() -> None:
    """Poll until the node goes away."""
    DIRECTORY.mkdir(exist_ok=True)
    channel = Channel(SOCKET)
    answered = time.monotonic()
    failed = True
    while True:
        try:
            _ask(channel)
        except errors.CriError:
            failed = True
            channel.close()
        else:
            now = time.monotonic()
            if failed:
                _write(channel, answered, now)
            answered, failed = now, False
        time.sleep(INTERVAL_S)


def _ask(channel: Channel) -> None:
    channel.call(
        cri.RUNTIME + "Version",
        pb.VersionRequest(version="v1"),
        pb.VersionResponse.FromString,
        timeout_s=TIMEOUT_S,
    )


def _write(channel: Channel, began: float, ended: float) -> None:
    with OUTAGES.open("a") as file:
        file.write(json.dumps([began, ended]) + "\n")
    handlers = cri.status(channel, timeout_s=TIMEOUT_S).handlers
    new = HANDLERS.with_suffix(".new")
    new.write_text("".join(f"{name}\n" for name in sorted(handlers)))
    new.replace(HANDLERS)


if __name__ == "__main__":
    main()
