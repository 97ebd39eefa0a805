"""What a cluster does beside the controller: kubelets' heartbeats and stand-in agents.

A process of its own, so that its work is not measured as the controller's:

    python -m tests.bench.controller_load KUBECONFIG NODES.json

Says `ready` once all agents are connected; ends when its standard input does. Then it prints how
much it did.
"""

from __future__ import annotations

import itertools
import json
import pathlib
import random
import sys
import threading
from datetime import UTC, datetime

from rcm_api.client import api, credentials, errors, http, reflector, resources
from tests.bench import controller_nodes
from tests.fakes import agents, standin

HEARTBEAT_S = 60.0
"""A kubelet renews its Lease each 10 s, and posts an unchanged status each 5 minutes; busy nodes
change theirs more often. The issue's figure: 84 a second for 5,000 nodes."""
WRITERS = 6
MERGE = "application/strategic-merge-patch+json"


def main(kubeconfig: str, nodes: str) -> None:
    """Work until standard input ends."""
    stop = threading.Event()
    uids: dict[str, str] = json.loads(pathlib.Path(nodes).read_text())
    client = api.Client(
        http.Http(credentials.Kubeconfig(kubeconfig), agent="bench-load"), manager="bench-load"
    )
    fleet = agents.Agents(client, [standin.NodeState(n, uid) for n, uid in uids.items()])
    follow = reflector.Reflector(
        client,
        reflector.Source(resources.NODERUNTIMES),
        fleet,
        now=lambda: datetime.now(UTC).timestamp(),
        random=random.random,
    )
    beats = Heartbeats(client, list(uids))
    threads = [
        threading.Thread(target=follow.run, args=(stop,), daemon=True),
        threading.Thread(target=beats.run, args=(stop,), daemon=True),
    ]
    with fleet.running(threads=WRITERS):
        for thread in threads:
            thread.start()
        print("ready", flush=True)
        sys.stdin.read()
        stop.set()
    told = {"agent_writes": fleet.writes, "agent_errors": fleet.refused, "beats": beats.sent}
    print(json.dumps(told), flush=True)


class Heartbeats:
    """One status update per node and minute, spread evenly."""

    def __init__(self, client: api.Client, names: list[str]) -> None:
        self._client, self._names = client, names
        self.sent = 0
        self.failed = 0

    def run(self, stop: threading.Event) -> None:
        """Go round and round."""
        pause_s = HEARTBEAT_S / len(self._names)
        began = datetime.now(UTC).timestamp()
        for count, name in enumerate(itertools.cycle(self._names)):
            late = began + count * pause_s - datetime.now(UTC).timestamp()
            if stop.wait(max(0.0, late)):
                return
            self._beat(name)

    def _beat(self, name: str) -> None:
        time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {"status": {"conditions": controller_nodes.conditions(time)}}
        patch = api.Patch(body, kind=MERGE, subresource="status")
        try:
            self._client.patch(resources.NODES, name, patch, decode=api.ignore, accept=api.METADATA)
            self.sent += 1
        except errors.ApiError:
            self.failed += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
