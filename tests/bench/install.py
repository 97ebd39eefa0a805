"""A first install on a warm store, in turn with the same done by hand on the same node.

Warm: the store's entry, which a removal drops, is put back from a copy that the first install
left. By hand: copy the program, append the table, restart, wait until CRI lists the handler.
Both are one command in the node and are timed there; between the rounds all is undone. The ratio
is told twice: of these times alone, and with the way into the node (`docker exec true`, measured in
the same rounds) on both sides, which is what a person at a terminal waits for.
"""

from __future__ import annotations

import shlex
import statistics

from tests.bench import figures, inside, poller
from tests.testbed import nodes

WALL_BAR_S = 4.0
UNREACHABLE_BAR_S = 1.5
RATIO_BAR = 4.0
ROUNDS = 7

_COPY = "/root/rcm-copy"
_ORIGINAL = "/root/config.toml"
_TABLE = "/root/table.toml"
_BY_HAND = f"""set -e
cp {inside.BINARY} /usr/local/bin/
cat {_TABLE} >> {nodes.CONFIG}
systemctl restart containerd
until grep -qx wasmtime {poller.HANDLERS}; do sleep 0.005; done
"""
_UNDO = f"""set -e
cp {_ORIGINAL} {nodes.CONFIG}
rm /usr/local/bin/containerd-shim-wasmtime-v1
systemctl restart containerd
while grep -qx wasmtime {poller.HANDLERS}; do sleep 0.005; done
"""


def prepare(bench: inside.Bench) -> inside.Cost:
    """Install once, from the archive, and keep a copy of the store."""
    bench.node.exec(["cp", nodes.CONFIG, _ORIGINAL])
    bench.node.write(_TABLE, _table(bench.node.containerd))
    first = bench.agent("apply", "-f", inside.MANIFEST)
    bench.node.exec(["cp", "-a", "/opt/rcm/store", _COPY])
    return first


def measure(bench: inside.Bench) -> figures.Figure:
    """Take turns; the Shim is installed at the beginning and is not at the end."""
    _remove(bench)
    bench.start_poller()
    ours: list[inside.Cost] = []
    theirs: list[inside.Cost] = []
    ways: list[float] = []
    for _ in range(ROUNDS):
        theirs.append(_by_hand(bench))
        ways.append(bench.way_s())
        ours.append(_apply(bench))
    return _report(bench, ours, theirs) | _ratios(ours, theirs, ways)


def _ratios(
    ours: list[inside.Cost], theirs: list[inside.Cost], ways: list[float]
) -> figures.Figure:
    rounds = list(zip(ours, theirs, ways, strict=True))
    alone = statistics.median(one.wall_s / other.wall_s for one, other, _ in rounds)
    whole = statistics.median((one.wall_s + w) / (other.wall_s + w) for one, other, w in rounds)
    return {
        "docker_exec": figures.seconds(ways),
        "ratio_to_by_hand": figures.judged(
            round(whole, 2), bar=RATIO_BAR, how="median of each round's, docker exec on both sides"
        ),
        "ratio_to_by_hand_inside": figures.judged(
            round(alone, 2), bar=RATIO_BAR, how="median of each round's, inside the node"
        ),
    }


def _report(
    bench: inside.Bench, ours: list[inside.Cost], theirs: list[inside.Cost]
) -> figures.Figure:
    return {
        "wall": figures.seconds([run.wall_s for run in ours], bar=WALL_BAR_S),
        "cpu": figures.seconds([run.cpu_s for run in ours]),
        "cri_unreachable": figures.seconds(
            [bench.unreachable_s(run) for run in ours], bar=UNREACHABLE_BAR_S
        ),
        "steps_median_s": inside.medians(ours),
        "by_hand_wall": figures.seconds([run.wall_s for run in theirs]),
        "by_hand_cri_unreachable": figures.seconds([bench.unreachable_s(run) for run in theirs]),
        "warm": "the store's entry is put back from a copy before each apply",
    }


def _by_hand(bench: inside.Bench) -> inside.Cost:
    bench.forget_restarts()
    cost = bench.timed("sh", "-c", _BY_HAND)
    bench.forget_restarts()
    bench.node.exec(["sh", "-c", _UNDO])
    return cost


def _apply(bench: inside.Bench) -> inside.Cost:
    bench.forget_restarts()
    bench.node.exec(["sh", "-c", f"mkdir -p /opt/rcm; cp -a {shlex.quote(_COPY)} /opt/rcm/store"])
    cost = bench.agent("apply", "-f", inside.MANIFEST)
    assert cost.stdout.rstrip().endswith("proven"), cost.stdout
    assert '"event": "bytes"' not in cost.stderr, "the store was not warm"
    _remove(bench)
    return cost


def _remove(bench: inside.Bench) -> None:
    bench.forget_restarts()
    bench.agent("remove", "wasmtime")


def _table(version: str) -> bytes:
    """Return what a person would append."""
    plugin = (
        "io.containerd.grpc.v1.cri" if version.startswith("1.") else "io.containerd.cri.v1.runtime"
    )
    return (
        f'\n[plugins."{plugin}".containerd.runtimes.wasmtime]\n'
        f'runtime_type = "/usr/local/bin/containerd-shim-wasmtime-v1"\n'
    ).encode()
