"""A pod sees the host's files as the host itself does, mounted or not.

The doors of a pod are opened on the node itself: what is not in its mounts they ask of the host in
any case, and the answers must be those of the kernel.
"""

from __future__ import annotations

import errno

import pytest

from rcm_agent import errors
from rcm_agent.host import files
from tests.contract import remote
from tests.testbed import nodes

pytestmark = [pytest.mark.timeout(60), pytest.mark.node]

TREE = "/srv/tree"
ODD = (
    "plain",
    "two words",
    "dollar $HOME ${x} $$",
    "per %h%% cent",
    "quo\"te's",
    "new\nline",
    "-n",
)
_MAKE = f"""
import os
os.makedirs("{TREE}/dir/below")
os.chmod("{TREE}/dir", 0o2750)
for name in {ODD!r}:
    open("{TREE}/dir/" + name, "w").write(name)
open("{TREE}/bytes", "wb").write(bytes(range(256)) * 40)
os.chown("{TREE}/bytes", 65534, 4)
os.chmod("{TREE}/bytes", 0o640)
os.link("{TREE}/bytes", "{TREE}/hard")
os.symlink("bytes", "{TREE}/link")
os.symlink("dir/nowhere", "{TREE}/dangling")
os.symlink("loop", "{TREE}/loop")
os.symlink("/etc/containerd/config.toml", "{TREE}/inside")
os.symlink("{TREE}/dir", "/etc/containerd/outside")
os.mkfifo("{TREE}/fifo")
open("{TREE}/large", "wb").truncate(2 << 20)
"""
PATHS = (
    *(f"{TREE}/dir/{name}" for name in ODD),
    f"{TREE}/bytes",
    f"{TREE}/link",
    f"{TREE}/dangling",
    f"{TREE}/loop",
    f"{TREE}/inside",
    f"{TREE}/dir",
    f"{TREE}/fifo",
    f"{TREE}/nothing",
    f"{TREE}/bytes/below",
    "/etc/containerd/outside",
    "/etc/containerd/outside/plain",
    "/etc/containerd/config.toml",
    "/etc/containerd/../machine-id",
    "/etc/containerd/nothing",
    "/etc",
    "/",
    "/run/rcm",
    "/var/run/containerd",
)


@pytest.fixture(scope="module")
def kernels(agents):
    """Give the kernel on the host, and the one of a pod."""
    host = agents.get("2.3")
    host.node.exec(["python3", "-c", _MAKE])
    with remote.opened(host.node, remote.POD, socket=nodes.SOCKET) as pod:
        yield host.host.kernel, pod.host.kernel
    host.node.exec(["rm", "-rf", TREE, "/etc/containerd/outside"])


def outcome(kernel, method: str, *arguments):
    try:
        return getattr(kernel, method)(*arguments)
    except OSError as error:
        return error.errno


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["lstat", "realpath", "readlink", "listdir"])
def test_an_entry_looks_the_same(kernels, method, path):
    on_host, in_pod = kernels

    assert outcome(on_host, method, path) == outcome(in_pod, method, path)


@pytest.mark.parametrize("path", [p for p in PATHS if not p.endswith("fifo")])
def test_a_file_reads_the_same(kernels, path):
    on_host, in_pod = kernels

    assert outcome(on_host, "read", path) == outcome(in_pod, "read", path)


def test_what_is_present_is_the_same(kernels):
    on_host, in_pod = kernels

    assert on_host.present(PATHS) == in_pod.present(PATHS)
    assert in_pod.present([]) == set()


def test_a_large_file_is_not_read_by_half(kernels):
    assert outcome(kernels[1], "read", f"{TREE}/large") == errno.EFBIG


@pytest.mark.parametrize("path", [f"{TREE}/new", "/etc/containerd/outside/plain", "/etc/new"])
def test_what_is_not_mounted_is_not_changed(kernels, path):
    on_host, in_pod = kernels
    before = on_host.lstat(path)

    with pytest.raises(errors.HostError, match="not in a directory of the host that the pod has"):
        files.replace(in_pod, path, b"new", expected=files.read(in_pod, path))
    for method, arguments in {
        "mkdir": (path, 0o755),
        "unlink": (path,),
        "rmdir": (path,),
        "symlink": ("x", path),
        "rename": ("/etc/containerd/config.toml", path),
        "create": (path, 0o600),
        "append": (path,),
        "lock": (path,),
    }.items():
        assert outcome(in_pod, method, *arguments) == errno.EROFS, method
    assert before == on_host.lstat(path)
    assert on_host.lstat("/etc/containerd/config.toml") is not None


def test_what_is_mounted_is_changed_at_once(kernels):
    on_host, in_pod = kernels
    files.replace(in_pod, "/etc/containerd/new.txt", b"new", expected=None)
    try:
        assert on_host.read("/etc/containerd/new.txt") == b"new"
    finally:
        on_host.unlink("/etc/containerd/new.txt")


def test_directories_above_the_mounts_are_made_durable_by_the_host(kernels):
    files.settle(kernels[1], ["/opt/rcm/journal.json", "/etc/containerd/config.toml"])


@pytest.mark.parametrize(
    ("path", "reached"),
    [
        ("/etc/containerd/config.toml", True),
        ("/etc/containerd/not/yet", True),
        (f"{TREE}/inside", True),
        ("/var/run/containerd/containerd.sock", True),
        ("/etc/containerd/outside", False),
        ("/etc/containerd/outside/plain", False),
        ("/etc/machine-id", False),
        ("/etc/containerd/../machine-id", False),
    ],
)
def test_only_what_is_mounted_is_within_reach(kernels, path, reached):
    on_host, in_pod = kernels

    assert in_pod.within_reach(path) == reached
    assert on_host.within_reach(path)
