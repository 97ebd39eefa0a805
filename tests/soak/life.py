"""One life of a Shim under kills: installed, upgraded, removed; and what must hold all the time.

Called by `tests/e2e/test_kills.py` and by `__main__`. What containerd itself ends while it starts
(containers whose shim does not answer `Pids`) is the one loss that a kill of containerd may cause.
"""

import collections.abc
import contextlib
import dataclasses
import random
import time

from tests.e2e import objects, processes, support, view
from tests.soak import kills as killing
from tests.workloads import modules

STAY = "rcm.test/soak-stay:1"
SHIM = "wasmtime"
NEW = "v0.2.0"
FRAGILE = "v0.1.0-nopids"
VARIANTS = ("v0.1.0", FRAGILE)
# A leader that died is followed within 20 s, a failed node is tried again after 5, 10, 20 s, what
# containerd forgot is found within 30 s; the rest is for a busy machine.
CONVERGED_S = 240.0
# A kill of containerd while it is tried looks like a broken release: other nodes shall go on.
ROLLING = {"maxUpdate": "100%", "maxFailures": "100%", "canary": {"nodes": 1, "soakSeconds": 1}}


@dataclasses.dataclass(slots=True)
class Life:
    """What happened.

    Attributes:
        seed: Of the kills.
        variant: The first version of the shim.
        kills: By act.
        seconds: By act, until all was as it should be.
        budgets: How often a node's budget of restarts was spent, and given back by us.
    """

    seed: int
    variant: str
    kills: dict[str, tuple[killing.Kill, ...]]
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    budgets: int = 0

    def __str__(self) -> str:
        acts = (
            f"{act} {self.seconds.get(act, 0.0):.0f} s ({', '.join(map(str, done))})"
            for act, done in self.kills.items()
        )
        budgets = f"; restart budget spent {self.budgets} times" if self.budgets else ""
        return f"seed {self.seed}, {self.variant}: {'; '.join(acts)}{budgets}"


class Living:
    """A life under way."""

    def __init__(self, product: support.Product, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 -- which process dies is no secret
        self._product = product
        self._names = sorted(product.cluster.nodes)
        self.life = Life(seed, VARIANTS[seed % 2], killing.plan(chance, self._names))

    def run(self) -> None:
        """Live it.

        Raises:
            NodeError: Something did not come right in time.
            AssertionError: Something was lost, left or doubled.
        """
        product = self._product
        product.import_guest(STAY, modules.say_and_stay("here\n"))
        product.apply(*(objects.plain_pod(f"plain-{n}", node=n) for n in self._names))
        for name in self._names:
            product.wait_pod(f"plain-{name}", timeout_s=CONVERGED_S)
        plain = product.all_containers()
        with self._act("install"):
            self._apply(self.life.variant)
        self._settle()
        product.apply(*(self._guest(name) for name in self._names))
        for name in self._names:
            product.wait_pod(f"wasm-{name}", timeout_s=CONVERGED_S)
        pods, guests = product.all_containers(), self._guests()
        with self._act("upgrade"):
            self._apply(NEW)
        self._settle()
        self._check_pods(pods)
        self._check_guests(guests)
        with self._act("removal"):
            product.delete("shim", SHIM)
            product.delete("pods", "--grace-period=1", *(f"wasm-{n}" for n in self._names))
            self._await("the Shim to be gone", lambda: not product.exists(view.SHIM, SHIM))
        self._settle()
        self._check_clean()
        assert plain.items() <= product.all_containers().items()

    @contextlib.contextmanager
    def _act(self, name: str) -> collections.abc.Iterator[None]:
        self._product.forget_restarts()
        began = time.monotonic()
        with killing.during(self._product, self.life.kills[name]):
            yield
        self.life.seconds[name] = time.monotonic() - began

    def _apply(self, variant: str) -> None:
        product = self._product
        product.apply(product.shim(SHIM, variant, rolling=ROLLING))
        wanted = product.release(variant).sha256
        generation = product.cluster.get("shim", SHIM)["metadata"]["generation"]
        self._await(
            f"{variant} on all nodes",
            lambda: (
                product.labelled(SHIM) == set(self._names)
                and product.status(SHIM).get("observedGeneration") == generation
                and product.condition(SHIM, "Progressing").get("reason") == "Complete"
                and {product.entry(n, SHIM).get("sha256") for n in self._names} == {wanted}
                and {product.entry(n, SHIM).get("phase") for n in self._names} == {"Ready"}
            ),
        )

    def _await(self, what: str, is_so: collections.abc.Callable[[], bool]) -> None:
        """Wait, and give spent budgets back: lives follow each other faster than agents may."""

        def look() -> bool:
            for name in self._names:
                if self._product.entry(name, SHIM).get("reason") == "BudgetSpent":
                    self._product.host(name).fresh_budget()
                    self.life.budgets += 1
            return is_so()

        self._product.wait(what, look, timeout_s=CONVERGED_S)

    def _settle(self) -> None:
        """Wait until everything that was killed runs again."""
        self._product.cluster.wait_ready()
        self._product.wait_running()

    def _guest(self, node: str) -> objects.Document:
        return objects.pod(f"wasm-{node}", STAY, runtime_class=SHIM, node=node)

    def _check_pods(self, before: dict[str, set[tuple[str, int]]]) -> None:
        """No pod was lost but by containerd itself, and that one is back."""
        for name in self._names:
            self._product.wait_pod(f"wasm-{name}", timeout_s=CONVERGED_S)
        spared = {f"wasm-{name}" for name in self._ended_by_containerd()}
        now = self._product.all_containers()
        assert now.keys() == before.keys()
        changed = {name for name in now if now[name] != before[name]}
        assert changed <= spared, f"lost: {changed - spared}"

    def _ended_by_containerd(self) -> set[str]:
        if self.life.variant != FRAGILE:
            return set()
        return {kill.node for kill in self.life.kills["upgrade"] if kill.kind == "containerd"}

    def _guests(self) -> dict[str, int]:
        """Count Wasm processes; one that containerd does not know counts twice."""
        found = {}
        for name in self._names:
            node = self._product.cluster.nodes[name]
            guests = processes.guests(node)
            found[name] = len(guests) + len(guests - set(processes.tasks(node).values()))
        return found

    def _check_guests(self, before: dict[str, int]) -> None:
        """None is there twice, and no shim serves a sandbox that containerd has forgotten."""
        product = self._product
        product.wait(
            f"as many guests as before, {before}",
            self._guests,
            good=lambda seen: seen == before,
            timeout_s=CONVERGED_S,
        )
        for name in self._names:
            node = product.cluster.nodes[name]
            assert view.shim_sandboxes(node) <= view.running_tasks(node)

    def _check_clean(self) -> None:
        product = self._product
        product.wait(
            "no process of ours to be left",
            lambda: {name: look.processes for name, look in product.look().items()},
            good=lambda seen: not any(seen.values()),
            timeout_s=CONVERGED_S,
        )
        for name, look in product.look().items():
            assert look.config == product.first[name].config
            assert look.half_written == []
            assert look.stored == []
            assert not [path for path in look.files if path.startswith("/opt/rcm/bin/")]
            assert product.entry(name, SHIM) == {}
        assert product.labelled(SHIM) == set()
        assert not product.exists("runtimeclass", SHIM)


def live(product: support.Product, seed: int) -> Life:
    """Live one life, and print it however it ends.

    Raises:
        NodeError: Something did not come right in time.
        AssertionError: Something was lost, left or doubled.
    """
    living = Living(product, seed)
    try:
        living.run()
    finally:
        print(living.life, flush=True)
    return living.life


def rest(product: support.Product) -> None:
    """Give killed programs new pods: kubelets start what died often later and later."""
    for namespace in (support.AGENTS, support.SYSTEM):
        pods = product.cluster.get("pods", f"--namespace={namespace}")["items"]
        worn = [pod["metadata"]["name"] for pod in pods if _restarts(pod)]
        if worn:
            product.delete("pods", f"--namespace={namespace}", "--grace-period=1", *worn)
            product.wait(
                f"{worn} to be gone",
                lambda worn=worn, ns=namespace: _left(product, ns, worn),
                good=lambda left: not left,
            )
    product.wait_running()


def _left(product: support.Product, namespace: str, names: list[str]) -> set[str]:
    found = product.cluster.get("pods", f"--namespace={namespace}")["items"]
    return {pod["metadata"]["name"] for pod in found} & set(names)


def _restarts(pod: support.Document) -> int:
    return sum(each["restartCount"] for each in pod["status"].get("containerStatuses", ()))
