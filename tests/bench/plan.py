"""A plan for a configuration of 1,000 lines, without the dumps.

The lines are what grows on real nodes: registries, runtimes and comments, in the containerd's own
version of the format.
"""

from __future__ import annotations

import json

from tests.bench import figures, inside
from tests.testbed import image

BAR_S = 0.15
LINES = 1000
RUNS = 9
CONFIG = "/etc/containerd/bench.toml"


def measure(bench: inside.Bench) -> figures.Figure:
    """Return how long the agent itself thinks; nothing is installed."""
    data = configuration(bench.node.containerd)
    bench.node.write(CONFIG, data)
    argv = ("tests.bench.planning", CONFIG, inside.MANIFEST)
    runs = [json.loads(bench.python(*argv)) for _ in range(RUNS)]
    return {
        "without_dumps": figures.seconds([run["own_s"] for run in runs], bar=BAR_S),
        "cpu": figures.seconds([run["cpu_s"] for run in runs]),
        "dumps": figures.seconds([run["dumps_s"] for run in runs]),
        "lines": data.count(b"\n"),
        "strategy": runs[0]["strategy"],
    }


def configuration(version: str) -> bytes:
    """Return a configuration of `LINES` lines that this containerd accepts."""
    text = image.default_config(version).decode()
    one = version.startswith("1.")
    runtime = "io.containerd.grpc.v1.cri" if one else "io.containerd.cri.v1.runtime"
    number = 0
    while text.count("\n") + _BLOCK_LINES <= LINES:
        number += 1
        text += _block(f'plugins."{runtime}".containerd.runtimes', number)
    return (text + "# the end\n" * (LINES - text.count("\n"))).encode()


_BLOCK_LINES = 10


def _block(runtimes: str, number: int) -> str:
    return f"""
# Runtime number {number} of this node, put here by whoever set it up.
[{runtimes}.other-{number}]
  runtime_type = "io.containerd.runc.v2"
  pod_annotations = ["example.com/*", "number-{number}.example.com/*"]
  privileged_without_host_devices = false

  [{runtimes}.other-{number}.options]
    BinaryName = "/usr/local/sbin/other-{number}"  # not a default
    SystemdCgroup = false
"""
