"""Which processes count as forgotten by containerd, and their end."""

import dataclasses
import errno

import pytest

from rcm_agent import ports, report, session, settings
from rcm_agent.cluster import orphans
from rcm_agent.work import Work
from tests.fakes import daemon
from tests.fakes.faults import Fail, Fault
from tests.fakes.host import FakeHost

HOST, POD, GUEST = "pid:[1]", "pid:[2]", "pid:[3]"
EXE = "/opt/rcm/store/sha256/abc/containerd-shim-wasmtime-v1"
LINK = "/opt/rcm/bin/containerd-shim-wasmtime-v1"
SINCE = 1000
CONTAINERD = ports.Process(100, "/usr/bin/containerd", ("containerd",), 1, SINCE, HOST)


def shim(pid: int, parent: int = 1, *, id_: str = "pod", space: str = HOST) -> ports.Process:
    argv = (LINK, "-namespace", "k8s.io", "-id", id_, "-address", "/run/containerd.sock")
    return ports.Process(pid, EXE, argv, parent, 500, space)


# As seen on real nodes: the shim, its zygote, a helper and a process for each container.
SHIM, ZYGOTE, HELPER = shim(10), shim(11, 10), shim(12, 10)
PAUSE = ports.Process(13, "/pause", ("/pause",), 10, 500, POD)
WASM = shim(14, 10, space=GUEST)
TREE = (SHIM, ZYGOTE, HELPER, PAUSE, WASM)


def task(pid: int, id_: str) -> ports.Container:
    return ports.Container("k8s.io", id_, pid, id_, "pod", survives_restart=False)


def sandbox(*, ready: bool) -> ports.Sandbox:
    return ports.Sandbox("pod", "default/pod", "wasmtime", ready=ready)


def find(
    *processes: ports.Process,
    tasks: tuple[ports.Container, ...] = (),
    sandboxes: tuple[ports.Sandbox, ...] = (),
    unbundled: frozenset[str] = frozenset(),
) -> set[int]:
    seen = orphans.Seen(100, (CONTAINERD, *processes), tasks, sandboxes, unbundled)
    return {process.pid for process in orphans.find(seen)}


def changed(process: ports.Process, **changes: object) -> ports.Process:
    return dataclasses.replace(process, **changes)


def test_everything_of_a_forgotten_sandbox_is_an_orphan():
    assert find(*TREE, sandboxes=(sandbox(ready=False),)) == {10, 11, 12, 13, 14}
    assert find(*TREE) == {10, 11, 12, 13, 14}


def test_a_forgotten_guest_of_a_living_sandbox_is_the_only_orphan():
    assert find(*TREE, tasks=(task(13, "pod"),), sandboxes=(sandbox(ready=True),)) == {14}


def test_what_containerd_knows_is_left_alone():
    tasks = (task(13, "pod"), task(14, "guest"))

    assert find(*TREE, tasks=tasks, sandboxes=(sandbox(ready=True),)) == set()


def test_a_new_guest_beside_a_forgotten_one_is_left_alone():
    new = changed(shim(15, 10, space="pid:[4]"), started=SINCE + 50)
    its_helper = changed(shim(16, 10), started=SINCE + 49)
    tasks = (task(13, "pod"), task(15, "again"))

    assert find(*TREE, new, its_helper, tasks=tasks) == {14}


def test_a_guest_that_is_just_being_made_is_left_alone():
    new = changed(shim(15, 10, space="pid:[4]"), started=SINCE + 50)

    assert find(*TREE, new, tasks=(task(13, "pod"),)) == {14}


def test_a_ready_sandbox_whose_process_is_not_seen_is_left_alone():
    assert find(*TREE, sandboxes=(sandbox(ready=True),)) == set()
    assert find(*TREE, tasks=(task(99, "pod"),)) == set()


def test_what_runs_in_the_namespace_of_a_known_container_is_left_alone():
    tool = ports.Process(15, "/bin/sh", ("sh",), 10, 500, POD)

    assert find(*TREE, tool, tasks=(task(13, "pod"),)) == {14}


def test_what_the_orphans_have_started_ends_with_them():
    child = ports.Process(20, "/app", ("/app",), 14, 500, GUEST)
    grandchild = ports.Process(21, "/app", ("/app",), 20, 500, GUEST)

    assert {20, 21} < find(*TREE, child, grandchild)


def test_nothing_that_is_younger_than_containerd_is_ended():
    young = tuple(changed(p, started=SINCE) for p in TREE)
    newcomer = ports.Process(20, "/app", ("/app",), 13, SINCE + 1, POD)

    assert find(*young) == set()
    assert find(*TREE, newcomer) == {10, 11, 12, 13, 14}


YOUNG = tuple(changed(p, started=SINCE + 50) for p in TREE)


@pytest.mark.parametrize("tree", [TREE, YOUNG, (*TREE[:2], *YOUNG[2:])])
def test_without_a_bundle_whatever_containerd_does_not_know_is_an_orphan(
    tree: tuple[ports.Process, ...],
):
    unready = (sandbox(ready=False),)

    assert find(*tree, unbundled=frozenset({"pod"})) == {10, 11, 12, 13, 14}
    assert find(*tree, sandboxes=unready, unbundled=frozenset({"pod"})) == {10, 11, 12, 13, 14}
    assert find(*tree, unbundled=frozenset({"another"})) <= {p.pid for p in TREE if p in tree}


@pytest.mark.parametrize(
    ("tasks", "sandboxes"),
    [
        pytest.param((task(13, "pod"), task(14, "guest")), (), id="all runs"),
        pytest.param((task(14, "guest"),), (), id="a container that outlived its sandbox's"),
        pytest.param((task(99, "guest"),), (), id="a container of the sandbox, elsewhere"),
        pytest.param((task(99, "pod"),), (), id="the sandbox, elsewhere"),
        pytest.param((), (sandbox(ready=True),), id="a ready sandbox"),
    ],
)
def test_what_containerd_knows_is_left_alone_without_a_bundle_too(
    tasks: tuple[ports.Container, ...], sandboxes: tuple[ports.Sandbox, ...]
):
    found = find(*YOUNG, tasks=tasks, sandboxes=sandboxes, unbundled=frozenset({"pod"}))

    assert found == set()


def test_a_sandbox_that_is_worked_on_right_now_is_left_alone():
    cleaner = changed(shim(30), started=SINCE + 100)

    assert find(*TREE, cleaner) == set()


@pytest.mark.parametrize(
    "process",
    [
        pytest.param(changed(SHIM, exe="/usr/bin/containerd-shim-runc-v2"), id="of runc"),
        pytest.param(changed(SHIM, exe="/opt/rcm/bin/x"), id="not from the store"),
        pytest.param(changed(SHIM, argv=("/usr/bin/shim", *SHIM.argv[1:])), id="by another path"),
        pytest.param(changed(SHIM, argv=SHIM.argv[:4]), id="no id"),
        pytest.param(changed(SHIM, argv=()), id="no arguments"),
        pytest.param(changed(SHIM, argv=(LINK, "-v")), id="a probe"),
        pytest.param(changed(SHIM, space=POD), id="in a container"),
        pytest.param(changed(SHIM, started=0), id="of unknown start"),
    ],
)
def test_anything_else_is_never_an_orphan(process: ports.Process):
    assert find(process) == set()


def test_a_shim_may_call_itself_by_its_path_in_the_store():
    assert find(changed(SHIM, argv=(EXE, *SHIM.argv[1:]))) == {10}


def test_a_binary_that_was_deleted_is_still_ours():
    assert find(changed(SHIM, exe=f"{EXE} (deleted)")) == {10}


def test_without_containerd_nothing_is_an_orphan():
    seen = orphans.Seen(0, TREE, (), ())
    assert orphans.find(seen) == ()

    unknown = changed(CONTAINERD, started=0)
    assert orphans.find(orphans.Seen(100, (unknown, *TREE), (), ())) == ()


# --- on the simulated host ---


def guest(name: str, *, pids: bool) -> daemon.Task:
    return daemon.Task(name, shim=LINK, exe=EXE, handler="wasmtime", pids=pids)


@pytest.fixture
def host() -> FakeHost:
    made = FakeHost("2.3.4", files={LINK: b"shim"})
    made.daemon.add(daemon.Task("plain"))
    made.daemon.add(guest("healthy", pids=True))
    made.daemon.add(guest("forgotten", pids=False))
    made.pass_time(5)
    return made


def work(host: FakeHost) -> Work:
    chosen = settings.Settings()
    where = session.locate(host.ports, chosen)
    return Work(host.ports, where, None, chosen, report.Silent())  # type: ignore[arg-type]


def test_a_restart_leaves_an_orphan_that_is_ended(host: FakeHost):
    assert orphans.end_orphans(work(host)) == 0

    host.restart_containerd()
    assert len(host.daemon.leaked) == 1

    assert orphans.end_orphans(work(host)) == 1
    assert host.daemon.leaked == {}
    assert set(host.daemon.tasks) == {"plain", "healthy"}
    assert orphans.end_orphans(work(host)) == 0


@dataclasses.dataclass
class Comes:
    """Lets containerd know a container again between the two looks."""

    host: FakeHost
    lost: daemon.Task
    at: float | None

    def due(self) -> float | None:
        return self.at

    def happen(self) -> None:
        self.at = None
        self.host.daemon.tasks[self.lost.id] = self.lost


def test_what_is_known_at_the_second_look_is_left_alone(host: FakeHost):
    host.restart_containerd()
    (lost,) = host.daemon.leaked.values()
    host.clock.actors.append(Comes(host, lost, host.clock.now + orphans.AGAIN_S / 2))

    assert orphans.end_orphans(work(host)) == 0
    assert host.daemon.leaked


def left(host: FakeHost, **changes: object) -> daemon.Task:
    """Leave a shim that was started after containerd, and that containerd does not know."""
    host.pass_time(5)
    made = dataclasses.replace(guest("left", pids=True), pid=9999, started_s=host.clock.now)
    made = dataclasses.replace(made, **changes)
    host.daemon.leaked[made.pid] = made
    return made


def test_a_shim_that_outlived_its_pod_is_ended_whenever_it_started(host: FakeHost):
    left(host, exe=f"{EXE} (deleted)")

    assert orphans.end_orphans(work(host)) == 1
    assert host.daemon.leaked == {}
    assert set(host.daemon.tasks) == {"plain", "healthy", "forgotten"}


def test_a_shim_that_is_just_being_started_has_a_bundle(host: FakeHost):
    made = left(host)
    host.disk.put(f"{made.bundle}/shim-binary-path", LINK.encode())

    assert orphans.end_orphans(work(host)) == 0


def test_one_who_calls_himself_like_a_shim_that_is_just_being_started_does_it_no_harm(
    host: FakeHost,
):
    made = left(host)
    host.disk.put(f"{made.bundle}/shim-binary-path", LINK.encode())
    left(host, pid=9998, namespace="other")

    assert orphans.end_orphans(work(host)) == 0


def test_where_bundles_are_elsewhere_nothing_is_told_by_their_absence(host: FakeHost):
    for known in host.daemon.tasks.values():
        host.disk.forget(known.bundle)
    left(host)

    assert orphans.end_orphans(work(host)) == 0


def test_bundles_that_cannot_be_looked_at_tell_nothing(host: FakeHost):
    made = left(host)
    host.faults.append(Fault(Fail(errno.EIO), on="kernel.lstat", path=made.bundle, nth=0))

    assert orphans.end_orphans(work(host)) == 0
