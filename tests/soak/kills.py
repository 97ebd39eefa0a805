"""Who is killed when: decided by a seed, done by a thread beside the test. Called by `life`."""

import collections.abc
import contextlib
import dataclasses
import random
import threading
import time

from tests.e2e import support
from tests.testbed import errors

KINDS = ("agent", "controller", "containerd", "kubelet")
ACTS = ("install", "upgrade", "removal")
# Each act takes 3 to 8 s when nobody is killed.
LATEST_S = 5.0
_COMMANDS = {
    "agent": ("pkill", "-KILL", "--full", "rcm-agent run"),
    "controller": ("pkill", "-KILL", "--full", "rcm-controller"),
    "containerd": ("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "containerd"),
    "kubelet": ("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "kubelet"),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Kill:
    """One kill -9.

    Attributes:
        kind: Of `KINDS`.
        node: Where; of the controller, the leader's is taken.
        after_s: After the beginning of its act.
    """

    kind: str
    node: str
    after_s: float

    def __str__(self) -> str:
        where = "" if self.kind == "controller" else f" on {self.node}"
        return f"{self.kind}{where} after {self.after_s:.1f} s"


def plan(
    chance: random.Random, nodes: collections.abc.Sequence[str]
) -> dict[str, tuple[Kill, ...]]:
    """Return the kills of each act: every kind once, and two more."""
    kinds = [*KINDS, *chance.choices(KINDS, k=2)]
    chance.shuffle(kinds)
    found: dict[str, tuple[Kill, ...]] = {}
    for number, act in enumerate(ACTS):
        mine = kinds[number * 2 : number * 2 + 2]
        times = sorted(chance.uniform(0.0, LATEST_S) for _ in mine)
        found[act] = tuple(
            Kill(kind, chance.choice(nodes), after_s)
            for kind, after_s in zip(mine, times, strict=True)
        )
    return found


@contextlib.contextmanager
def during(
    product: support.Product, kills: collections.abc.Iterable[Kill]
) -> collections.abc.Iterator[None]:
    """Kill while the block runs; it ends after the last kill.

    Raises:
        NodeError: A node could not be told to kill.
    """
    failures: list[Exception] = []

    def work() -> None:
        began = time.monotonic()
        for kill in kills:
            time.sleep(max(0.0, began + kill.after_s - time.monotonic()))
            try:
                _do(product, kill)
            except errors.TestbedError as error:
                failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failures:
        raise failures[0]


def _do(product: support.Product, kill: Kill) -> None:
    node = _leader(product, otherwise=kill.node) if kill.kind == "controller" else kill.node
    # Who is dead already is dead.
    product.cluster.nodes[node].exec(_COMMANDS[kill.kind], check=False)


def _leader(product: support.Product, *, otherwise: str) -> str:
    lease = product.cluster.get("lease", "rcm-controller", f"--namespace={support.SYSTEM}")
    holder = lease["spec"].get("holderIdentity", "")
    pods = product.controller_pods()
    found = (p["spec"]["nodeName"] for p in pods if holder.startswith(p["metadata"]["name"]))
    return next(found, otherwise)
