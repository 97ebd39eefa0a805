"""The gate on real nodes: no restart of containerd ends a container, unless it may."""

import pytest

from tests.containerd import support
from tests.containerd.support import LEAK, OLD, SECOND, UNPATCHED
from tests.workloads import pods

pytestmark = [pytest.mark.node, pytest.mark.timeout(120)]

asking_releases = pytest.mark.parametrize("release", ["1.7", "2.3"])

BLOCKED = 6
ADVICE = "stop them first, or say --disruption allow"


@asking_releases
def test_a_restart_that_would_end_a_container_is_refused(host: support.Host) -> None:
    host.apply(UNPATCHED)
    with support.plain(host) as plain, support.wasm(host) as guest:
        before = host.look()
        for command in ("apply", "plan", "remove"):
            done = _second(host, command)

            after = host.look()
            assert after.untouched_since(before), command
            assert after.starts == before.starts
            assert "default/guest/main" in done.error + done.out
            assert "default/plain" not in done.error + done.out
            if command != "plan":
                assert (done.code, done.kind, done.advice) == (BLOCKED, "Blocked", ADVICE)
        assert guest.lives
        assert plain.lives
    # Nothing runs any more, so the same command passes.
    assert _second(host, "apply").code == 0


def _second(host: support.Host, command: str) -> support.Outcome:
    if command == "remove":
        return host.remove("wasmtime")
    return host.agent(command, "-f", host.manifest(UNPATCHED, SECOND))


@asking_releases
def test_where_it_may_a_container_is_stopped_cleanly(host: support.Host) -> None:
    host.apply(UNPATCHED)
    with support.plain(host) as plain, support.wasm(host) as guest:
        before, leaks = host.look(), host.node.journal("containerd").count(LEAK)

        done = host.apply(UNPATCHED, SECOND, flags=["--disruption", "allow"])

        after = host.look()
        assert done.code == 0, done.error
        assert any("stopping default/guest" in warning for warning in done.warnings)
        assert guest.pod.state(guest.container).state == pods.EXITED
        assert not guest.pod.is_ready
        assert after.processes == {}, "a process leaked"
        assert guest.container not in host.node.ctr("task", "list").stdout
        assert plain.lives
        assert after.starts == before.starts + 1
        assert host.node.journal("containerd").count(LEAK) == leaks


@pytest.mark.parametrize(
    ("release", "shim"),
    [
        pytest.param("1.6", UNPATCHED, id="1.6 asks no shim"),
        pytest.param("1.7", OLD, id="1.7 and a shim that answers"),
        pytest.param("2.3", OLD, id="2.3 and a shim that answers"),
    ],
)
def test_a_restart_that_ends_nothing_needs_no_permission(
    host: support.Host, shim: support.Shim
) -> None:
    host.apply(shim)
    with support.plain(host) as plain, support.wasm(host) as guest:
        done = host.apply(shim, SECOND)

        assert done.code == 0, done.error
        assert "restart" in done.steps
        assert guest.lives
        assert plain.lives
        guest.pod.stop(guest.container)
        assert guest.pod.state(guest.container) == pods.State(pods.EXITED, 128 + 15)


@asking_releases
def test_a_shim_in_use_is_not_removed(host: support.Host) -> None:
    host.apply(OLD)
    with support.plain(host) as plain, support.wasm(host) as guest:
        before = host.look()

        done = host.remove("wasmtime")

        assert (done.code, done.kind, done.advice) == (BLOCKED, "Blocked", ADVICE)
        assert done.error == "running containers use the Shim: default/guest, default/guest/main"
        assert host.look().untouched_since(before)
        assert guest.lives

        done = host.remove("wasmtime", flags=["--disruption", "allow"])

        assert done.code == 0, done.error
        after = host.look()
        assert (after.remains, after.processes) == ([], {})
        assert plain.lives
        assert guest.pod.state(guest.container).state == pods.EXITED


@asking_releases
def test_a_container_that_starts_meanwhile_is_not_ended(host: support.Host) -> None:
    """The gate is passed once more right before the restart."""
    host.apply(UNPATCHED)
    before = host.look()
    run = host.background(
        "apply", "-f", host.manifest(UNPATCHED, SECOND), at=[["before", "restart", "wait"]]
    )
    with support.wasm(host) as guest:
        host.go_on()
        out, err = run.communicate(timeout=60)

        done = support.Outcome.of(run.returncode, out.decode(), err.decode())
        assert (done.code, done.kind) == (BLOCKED, "Blocked")
        assert "default/guest/main" in done.error
        assert guest.lives
        after = host.look()
        assert (after.config, after.containerd) == (before.config, before.containerd)
        assert after.remains == before.remains
        assert after.units == []
