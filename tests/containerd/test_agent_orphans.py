"""What containerd has forgotten is found and ended, and nothing else; also from a pod.

The shim is the unpatched build, which lacks `Pids` as every shim built on runwasi does today.
"""

import collections.abc
import contextlib
import dataclasses
import time

import pytest

from tests.containerd import agent_pod, support
from tests.testbed import nodes
from tests.workloads import components, images, pods

pytestmark = [pytest.mark.node, pytest.mark.timeout(180)]

_UNPATCHED = support.Shim(name="unpatched", variant="v0.1.0-nopids")
_PATCHED = support.Shim(name="patched")
_SERVER = "rcm.test/server:1"
_END = """
import sys
from rcm_agent import report, session, settings
from rcm_agent.cluster import orphans
from rcm_agent.host import open
chosen = settings.Settings()
host = open.open_host()
where = session.locate(host, chosen)
with session.opened(host, where, chosen=chosen, tell=report.JsonLines(sys.stderr)) as work:
    print(orphans.end_orphans(work))
"""
Ending = collections.abc.Callable[[], int]


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """A wasi:http server in a pod."""

    pod: pods.Pod
    container: str

    @property
    def node(self) -> nodes.Node:
        return self.pod.node

    def answers(self) -> bool:
        argv = ["curl", "--silent", "--fail", "--max-time", "2", f"{self.pod.ip}:8080"]
        return self.node.exec(argv, check=False).exit_code == 0

    def await_answer(self) -> None:
        deadline = time.monotonic() + 30
        while not self.answers():
            assert time.monotonic() < deadline, self.pod.log()
            time.sleep(0.05)


@contextlib.contextmanager
def server(host: support.Host) -> collections.abc.Iterator[Server]:
    host.node.import_image(images.image(_SERVER, components.http_server("hello")))
    with pods.sandbox(host.node, "server", handler=_UNPATCHED.name) as pod:
        found = Server(pod, pod.run(_SERVER))
        found.await_answer()
        yield found


def restart(host: support.Host) -> None:
    host.fresh_budget()
    host.node.systemctl("restart", "containerd")
    host.node.wait_containerd()


def of_sandbox(host: support.Host, sandbox: str) -> list[str]:
    """Return the processes that still run, or are about to end, for a sandbox."""
    deadline = time.monotonic() + 5
    while True:
        found = host.node.exec(["pgrep", "--full", f"[-]id {sandbox}"], check=False).stdout
        if not found or time.monotonic() > deadline:
            return found.split()
        time.sleep(0.05)


@pytest.fixture
def installed(host: support.Host) -> support.Host:
    done = host.apply(_UNPATCHED, _PATCHED)
    assert done.code == 0, done.error
    return host


@pytest.fixture
def end(where: str, installed: support.Host) -> collections.abc.Iterator[Ending]:
    if where == "on the host":
        run = ["python3", "-P", "-c", _END]
        yield lambda: int(installed.node.exec(run, env=support._ENV).stdout)
        return
    with agent_pod.started(installed) as pod:
        yield lambda: int(pod.python(_END))


@pytest.mark.parametrize(
    ("release", "where"), [("1.7", "in a pod"), ("2.3", "in a pod"), ("2.3", "on the host")]
)
def test_what_containerd_forgot_is_ended_and_nothing_else(installed: support.Host, end: Ending):
    with (
        support.plain(installed) as plain,
        support.wasm(installed, handler=_PATCHED.name, name="healthy") as healthy,
        server(installed) as lost,
    ):
        assert end() == 0, "all is known"

        restart(installed)
        assert lost.pod.state(lost.container).state == pods.EXITED
        assert lost.answers(), "and yet it lives"

        ended = end()

        assert ended > 0
        assert not lost.answers()
        assert plain.lives
        assert healthy.lives
        if lost.pod.is_ready:
            again = Server(lost.pod, lost.pod.run(_SERVER, name="again"))
            again.await_answer()
            assert end() == 0, "the new one is known"
            assert again.answers()
        sandbox = lost.pod.id
    end()  # on 2.x the shim of the deleted pod lives on: it was never told that its guest ended
    assert of_sandbox(installed, sandbox) == []


_LEFT = "left-by-its-pod"
_BUNDLE = f"/run/containerd/io.containerd.runtime.v2.task/k8s.io/{_LEFT}"
_LEAVE = r"""
mkdir /opt/rcm/store/left
cp /bin/sh /opt/rcm/store/left/shim
cat >/run/leave <<END
exec -a /opt/rcm/bin/containerd-shim-left /opt/rcm/store/left/shim \
  -c 'sleep 600; true' -namespace k8s.io -id $1
END
setsid bash /run/leave </dev/null >/dev/null 2>&1 &
until pgrep --full "[-]id $1"; do sleep 0.05; done
rm -r /opt/rcm/store/left /run/leave
"""
"""Something that looks like a shim, is younger than containerd, and whose program is gone."""


@pytest.fixture
def left(installed: support.Host) -> collections.abc.Iterator[str]:
    installed.node.exec(["sh", "-ec", _LEAVE, "sh", _LEFT])
    yield _LEFT
    installed.node.exec(["pkill", "--full", f"[-]id {_LEFT}"], check=False)


@pytest.mark.parametrize(
    ("release", "where"), [("1.7", "in a pod"), ("2.3", "in a pod"), ("2.3", "on the host")]
)
def test_a_young_shim_is_ended_once_its_bundle_is_gone(
    installed: support.Host, end: Ending, left: str
):
    with (
        support.plain(installed) as plain,
        support.wasm(installed, handler=_UNPATCHED.name, name="healthy") as healthy,
    ):
        installed.node.exec(["mkdir", _BUNDLE])
        try:
            assert end() == 0, "containerd may be making it"
        finally:
            installed.node.exec(["rmdir", _BUNDLE])

        assert end() == len(["the shim", "its child"])
        assert of_sandbox(installed, left) == []
        assert plain.lives
        assert healthy.lives
