"""The agent's life cycle on real nodes: install, again, upgrade, a second one, remove."""

import pytest

from tests.containerd import support
from tests.containerd.support import NEW, OLD, SECOND
from tests.testbed import nodes

pytestmark = [pytest.mark.node, pytest.mark.timeout(120)]

every_release = pytest.mark.parametrize("release", ["1.6", "1.7", "2.1", "2.3"])
two_releases = pytest.mark.parametrize("release", ["1.7", "2.3"])

NOTHING = "nothing to do: this host has what the Shims ask for"
# Everything that writes to a disk or changes a name, a mode or an owner.
_WRITES = (
    "openat,open,creat,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,symlink,"
    "symlinkat,link,linkat,fsync,fdatasync,truncate,ftruncate,chmod,fchmod,fchmodat,chown,fchown,"
    "fchownat,utimensat"
)


@every_release
def test_a_shim_comes_is_upgraded_gets_company_and_goes(host: support.Host) -> None:
    found = host.look()
    with support.plain(host) as plain:
        installed = host.apply(OLD)

        assert (installed.code, installed.error) == (0, "")
        assert "shim/wasmtime ready: handler wasmtime, proven" in installed.out
        after = host.look()
        assert after.starts == found.starts + 1
        assert support.hello(host, "Hello!\n") == ("Hello!", 0)
        with support.wasm(host) as old:
            assert OLD.digest in old.shim

            upgraded = host.apply(NEW)

            assert upgraded.code == 0
            assert host.look().containerd == after.containerd
            assert old.lives
            with support.wasm(host, name="young") as young:
                assert NEW.digest in young.shim
                assert OLD.digest in old.shim

            doubled = host.apply(SECOND)

            assert doubled.code == 0, doubled.error
            both = host.look()
            assert both.starts == after.starts + 1
            assert [s["name"] for s in host.status()["shims"]] == ["second", "wasmtime"]
            assert old.lives
            assert plain.lives
            assert support.hello(host, "Hi!\n", handler="second") == ("Hi!", 0)
        _remove_both(host)

        assert plain.lives
    last = host.look()
    assert last.config == found.config
    assert last.remains == []
    assert last.processes == {}
    assert last.starts == both.starts + 2
    host.sandbox_works()


def _remove_both(host: support.Host) -> None:
    gone = host.remove("second")
    assert gone.code == 0, gone.error
    assert [s["name"] for s in host.status()["shims"]] == ["wasmtime"]
    # Four restarts in a few seconds are more than the budget has: that is another test's.
    host.fresh_budget()
    gone = host.remove("wasmtime")
    assert gone.code == 0, gone.error


@two_releases
def test_a_second_apply_writes_nothing_and_restarts_nothing(host: support.Host) -> None:
    host.apply(OLD)
    before = host.look()

    again = host.apply(OLD)

    after = host.look()
    assert again.code == 0
    assert [(e["message"], e["changed"]) for e in again.events] == [(NOTHING, False)]
    assert after == before
    assert after.processes == {}, "a proof left a process"
    assert host.node.ctr("containers", "list", "--quiet").stdout == "", "a proof left a sandbox"


@two_releases
def test_a_second_apply_opens_no_file_for_writing(host: support.Host) -> None:
    host.apply(OLD)
    strace = ["strace", "-f", "-qq", "-e", f"trace={_WRITES}", "-e", "status=successful"]

    host.node.exec([*strace, "-o", "/tmp/trace", "rcm-agent", "apply", "-f", "/root/shims.yaml"])

    lines = host.node.read("/tmp/trace").decode().splitlines()
    reading = [line for line in lines if "openat(" in line and "O_RDONLY" in line]
    writes = [line for line in lines if line not in reading and "<pycache>" not in line]
    assert len(reading) > 100, "strace saw nothing"
    assert [w for w in writes if '"/run/rcm/lock"' not in w and "pycache" not in w] == []


@two_releases
def test_a_plan_says_it_all_and_touches_nothing(host: support.Host) -> None:
    before = host.look()

    said = host.agent("plan", "-f", host.manifest(OLD)).out

    planned = host.look()
    assert planned.untouched_since(before)
    assert planned.written_since(before) == []
    for words in ("strategy:", "because", "containerd restarts: once", "+++ /etc/containerd/"):
        assert words in said
    assert f"link: {OLD.link}" in said
    host.apply(OLD)
    before = host.look()
    assert "containerd restarts: no" in host.agent("plan", "-f", host.manifest(NEW)).out
    planned = host.look()
    assert planned.untouched_since(before)
    assert planned.written_since(before) == []


@two_releases
def test_the_status_is_told_for_programs(host: support.Host) -> None:
    empty = host.status()
    host.apply(OLD)

    status = host.status()

    assert (empty["shims"], empty["configuration"]) == ([], "none of ours")
    assert status["configuration"] == "as proven"
    assert status["config"] == nodes.CONFIG
    assert status["unit"] == "containerd.service"
    assert status["pending"] == ""
    assert status["shims"] == [
        {
            "name": "wasmtime",
            "handler": "wasmtime",
            "state": "Ready",
            "problems": [],
            "version": "0.1.0",
            "artifact": OLD.digest,
            "proven": "proven",
        }
    ]


@pytest.mark.parametrize("release", ["1.7", "2.3"])
@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"shims.yaml": (OLD, SECOND)}, id="documents"),
        pytest.param({"a.yaml": (OLD,), "b.yml": (SECOND,)}, id="directory"),
    ],
)
def test_several_shims_at_once_are_one_edit_and_one_restart(
    host: support.Host, files: dict[str, tuple[support.Shim, ...]]
) -> None:
    before = host.look()
    host.sh("rm -rf /root/several")
    for name, wanted in files.items():
        host.manifest(*wanted, path=f"/root/several/{name}")

    done = host.agent("apply", "-f", "/root/several")

    assert done.code == 0, done.error
    assert done.steps.count("commit") == 1
    assert host.look().starts == before.starts + 1
    assert [s["problems"] for s in host.status()["shims"]] == [[], []]
    assert host.remove("wasmtime", "second").code == 0
    after = host.look()
    assert (after.config, after.remains, after.starts) == (before.config, [], before.starts + 2)


@two_releases
def test_what_others_edit_in_between_survives_the_removal(host: support.Host) -> None:
    found = host.node.read(nodes.CONFIG)
    host.apply(OLD)
    ours = host.node.read(nodes.CONFIG)
    assert ours != found
    edit = _edited(ours)
    host.node.write(nodes.CONFIG, edit)

    removed = host.remove("wasmtime")

    assert removed.code == 0, removed.error
    after = host.look()
    assert after.config == {nodes.CONFIG: _edited(found)}
    assert after.remains == []
    host.fresh()


def _edited(config: bytes) -> bytes:
    """Return what an administrator makes of it: a comment at its end, and another value."""
    changed = config.replace(
        b"  restrict_oom_score_adj = true\n",
        b"  restrict_oom_score_adj = true\n  max_container_log_line_size = 32768 # more\n",
    )
    assert changed != config
    return changed + b"# checked by ops on Tuesday\n"


@pytest.mark.parametrize("release", ["2.1", "2.3"])
def test_a_host_without_a_configuration_file_has_none_again(new_host) -> None:
    """Sandboxes of such a node do not start (see the test bed's notes), so nothing is proven."""
    host = new_host(config=nodes.NO_FILE)
    before = host.look()

    done = host.apply(OLD, flags=["--no-prove"])

    assert done.code == 0, done.error
    assert "not proven: turned off" in done.out
    assert host.status()["shims"][0]["state"] == "Ready"
    assert host.remove("wasmtime").code == 0
    after = host.look()
    assert (after.config, after.remains) == ({}, [])
    assert before.config == {}


@two_releases
def test_a_host_mounted_elsewhere_is_served_alike(host: support.Host) -> None:
    """As in a container: the host's files are below /host, and here is nothing of it."""
    before = host.look()

    def elsewhere(*command: str) -> support.Outcome:
        words = support.quoted("rcm-agent", *command, "--root", "/host")
        hide = "for d in /etc/containerd /opt /run; do mount -t tmpfs none $d; done"
        script = f"mkdir -p /host; mount --rbind / /host; {hide}; exec {words}"
        isolated = ["unshare", "--mount", "--propagation", "slave", "sh", "-ec", script]
        done = host.node.exec(isolated, check=False)
        return support.Outcome.of(done.exit_code, done.stdout, done.stderr)

    manifest = host.manifest(OLD)
    done = elsewhere("apply", "-f", manifest)

    assert done.code == 0, done.error
    assert host.status()["shims"][0]["state"] == "Ready"
    assert support.hello(host, "Hello!\n") == ("Hello!", 0)
    settled = host.look()
    assert elsewhere("apply", "-f", manifest).events[0]["message"] == NOTHING
    assert host.look() == settled
    assert elsewhere("remove", "wasmtime").code == 0
    after = host.look()
    assert (after.config, after.remains) == (before.config, [])
