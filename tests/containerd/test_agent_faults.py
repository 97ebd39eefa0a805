"""Faults on real nodes: whatever fails, the node is back on its old state, soon and by itself."""

import pytest

from tests.containerd import support
from tests.containerd.support import OLD
from tests.testbed import nodes

pytestmark = [pytest.mark.node, pytest.mark.timeout(120)]

both_releases = pytest.mark.parametrize("release", ["1.7", "2.3"])

ROLLED_BACK = 7
BACK_S = 60.0
RESTARTS = 2
# In place of 15, 10 and 60 s, which would be spent waiting.
_SOON = {"chosen": {"prove_timeout_s": 3.0}, "settings": {"PROBE_TIMEOUT_S": 2.0}}


@both_releases
@pytest.mark.parametrize(
    ("variant", "code", "restarts", "words"),
    [
        pytest.param("version-fails", 11, 0, "cannot open shared object", id="-v fails"),
        pytest.param("info-hangs", 11, 0, "was killed", id="-info hangs"),
        pytest.param("start-fails", ROLLED_BACK, RESTARTS, "always fails", id="start fails"),
        pytest.param("start-hangs", ROLLED_BACK, RESTARTS, "DEADLINE_EXCEEDED", id="start hangs"),
    ],
)
def test_a_broken_shim_is_not_installed(
    host: support.Host, variant: str, code: int, restarts: int, words: str
) -> None:
    before = host.look()
    with support.plain(host) as plain:
        manifest = host.manifest(support.Shim(variant=variant))
        done = host.interfere("apply", "-f", manifest, **_SOON)

        assert done.code == code, done.error
        assert words in done.error
        assert done.advice
        _assert_back(host, before, done, restarts=restarts)
        assert plain.lives


@both_releases
@pytest.mark.parametrize("variant", ["start-fails", "start-hangs"])
def test_an_upgrade_to_a_broken_shim_changes_nothing(host: support.Host, variant: str) -> None:
    host.apply(OLD)
    before = host.look()
    with support.wasm(host) as guest:
        manifest = host.manifest(support.Shim(variant=variant))
        done = host.interfere("apply", "-f", manifest, **_SOON)

        assert (done.code, done.kind) == (ROLLED_BACK, "RolledBack"), done.error
        assert guest.lives
        after = host.look()
        assert (after.config, after.containerd) == (before.config, before.containerd)
        assert after.stored == before.stored
        assert OLD.digest in host.link(OLD)
        assert set(after.processes.values()) == {guest.shim}
        assert done.seconds < BACK_S
    assert [s["version"] for s in host.status()["shims"]] == ["0.1.0"]
    assert support.hello(host, "Hello!\n") == ("Hello!", 0)


@both_releases
@pytest.mark.parametrize(
    ("trap", "words"),
    [
        pytest.param("ends at once", "no such luck", id="ends at once"),
        pytest.param("never ready", "5 s", id="never ready"),
        pytest.param("CRI is dead", "UNIMPLEMENTED", id="CRI is dead"),
    ],
)
def test_a_containerd_that_does_not_come_back_is_brought_back(
    host: support.Host, trap: str, words: str
) -> None:
    with support.plain(host) as plain:
        host.trap(trap)
        before = host.look()

        done = host.apply(OLD, flags=["--timeout", "5"])

        assert (done.code, done.kind) == (ROLLED_BACK, "RolledBack"), done.error
        assert words in done.error
        assert done.advice
        _assert_back(host, before, done, restarts=RESTARTS)
        assert plain.lives


def _assert_back(
    host: support.Host, before: support.Look, done: support.Outcome, *, restarts: int
) -> None:
    after = host.look()
    assert after.config == before.config
    assert (after.remains, after.units, after.processes) == ([], [], {})
    assert after.starts - before.starts <= restarts
    assert restarts or after.containerd == before.containerd
    assert done.seconds < BACK_S
    host.sandbox_works()


_FILL = "cat /dev/zero > {}/fill 2>/dev/null || true"


@both_releases
@pytest.mark.parametrize(
    ("directory", "step"),
    [
        pytest.param("/opt/rcm", "link", id="opt before the link"),
        pytest.param("/opt/rcm", "verify", id="opt after the restart"),
        pytest.param("/etc/containerd", "attach", id="etc before the trial"),
    ],
)
def test_a_disk_that_fills_up_leaves_the_old_state(
    host: support.Host, directory: str, step: str
) -> None:
    with support.plain(host) as plain:
        _mount(host, directory)
        before = host.look()
        fill = ["before", step, _FILL.format(directory)]

        done = host.interfere("apply", "-f", host.manifest(OLD), at=[fill])

        assert (done.code, done.kind) == (ROLLED_BACK, "RolledBack"), done.error
        assert "No space left on device" in done.error
        assert done.advice
        host.sh(f"rm {directory}/fill")
        # Whatever could not be told to a full disk is told now.
        assert host.agent("recover").code == 0
        _assert_back(host, before, done, restarts=RESTARTS)
        assert plain.lives


@both_releases
def test_a_disk_that_is_full_at_the_clean_up_leaves_the_new_state(host: support.Host) -> None:
    """Too late to go back: what is proven and committed stays, and a later run tidies up."""
    _mount(host, "/opt/rcm")
    before = host.look()
    fill = ["before", "clean", _FILL.format("/opt/rcm")]

    done = host.interfere("apply", "-f", host.manifest(OLD), at=[fill])

    assert (done.code, done.kind) == (1, "HostError"), done.error
    assert "No space left on device" in done.error
    assert support.hello(host, "Hello!\n") == ("Hello!", 0)
    host.sh("rm /opt/rcm/fill")
    assert host.agent("recover").code == 0
    assert host.status()["shims"][0]["state"] == "Ready"
    assert host.look().starts == before.starts + 1
    assert host.remove("wasmtime").code == 0
    after = host.look()
    assert (after.config, after.remains) == (before.config, [])


@both_releases
def test_a_disk_that_is_full_at_the_commit_leaves_the_old_state(host: support.Host) -> None:
    """The bytes of before need room, too: what they mean comes back at once, they do later."""
    with support.plain(host) as plain:
        _mount(host, "/etc/containerd")
        before = host.look()
        fill = ["before", "commit", _FILL.format("/etc/containerd")]

        done = host.interfere("apply", "-f", host.manifest(OLD), at=[fill])

        assert (done.code, done.kind) == (ROLLED_BACK, "RolledBack"), done.error
        assert "No space left on device" in done.error
        assert any("left for 'rcm-agent recover'" in said for said in done.warnings)
        host.sandbox_works()
        found = host.look()
        assert (found.units, found.processes) == ([], {})
        assert "wasmtime" not in host.node.exec(["containerd", "config", "dump"]).stdout
        assert host.agent("recover").code == 1, "there is no room yet"
        host.sh("rm /etc/containerd/fill")
        assert host.agent("recover").code == 0
        assert host.look().containerd == found.containerd
        _assert_back(host, before, done, restarts=RESTARTS)
        assert plain.lives


def _mount(host: support.Host, directory: str) -> None:
    """Put a small disk in the place of a directory, with what is in it."""
    host.sh(
        f"mkdir -p {directory}; cp -a {directory} /root/moved; "
        f"mount -t tmpfs -o size=40m,mode=755 small {directory}; "
        f"cp -a /root/moved/. {directory}; rm -rf /root/moved"
    )


@both_releases
@pytest.mark.parametrize(
    ("when", "point"),
    [
        pytest.param("after", f"rename {nodes.CONFIG}", id="between read and rename"),
        pytest.param("before", "restart", id="before the restart"),
        pytest.param("before", "commit", id="before the commit"),
    ],
)
def test_what_another_editor_writes_meanwhile_stays(
    host: support.Host, when: str, point: str
) -> None:
    found = host.node.read(nodes.CONFIG)
    before = host.look()
    edit = f"echo '# theirs' >> {nodes.CONFIG}"

    done = host.interfere("apply", "-f", host.manifest(OLD), at=[[when, point, edit]])

    assert (done.code, done.kind) == (ROLLED_BACK, "RolledBack"), done.error
    assert f"{nodes.CONFIG} was changed by somebody else" in done.error
    assert done.advice.startswith("run the command again")
    after = host.look()
    assert after.config == {nodes.CONFIG: found + b"# theirs\n"}
    assert after.remains == []
    assert after.starts - before.starts <= RESTARTS
    host.sandbox_works()
