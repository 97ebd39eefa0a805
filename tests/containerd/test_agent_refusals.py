"""What the agent refuses on real nodes: a typed exit code, a cause, an advice, nothing touched."""

import collections.abc
import dataclasses

import pytest

from tests.containerd import support
from tests.containerd.support import OLD, Shim
from tests.testbed import image, nodes, pause

pytestmark = [pytest.mark.node, pytest.mark.timeout(120)]

both_releases = pytest.mark.parametrize("release", ["1.7", "2.3"])

Set = collections.abc.Callable[[support.Host], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """What is wrong with a host, and what the agent says of it."""

    script: str
    code: int
    kind: str
    words: str
    undo: str = "true"
    shim: Shim = OLD


_RESTART = "systemctl reset-failed containerd; systemctl restart containerd"
_OTHERS = (
    """printf '[plugins."%s".containerd.runtimes.wasmtime]\\n  runtime_type = "io.other.v1"\\n' """
    "$(grep -o 'io.containerd[a-z0-9.]*' /etc/containerd/config.toml | tail -1) "
    f">> /etc/containerd/config.toml; {_RESTART}"
)
_FAULTS = {
    "read-only /opt": Refusal(
        script="mount -t tmpfs none /opt; mount -o remount,ro /opt",
        code=5,
        kind="DiskRefused",
        words="Read-only file system",
    ),
    "no room for the shim": Refusal(
        script="mkdir -p /opt/rcm; mount -t tmpfs -o size=4m none /opt/rcm",
        code=5,
        kind="DiskRefused",
        words="No space left on device",
    ),
    "no socket of systemd": Refusal(
        script="mv /run/systemd/private /run/systemd/elsewhere",
        undo="mv /run/systemd/elsewhere /run/systemd/private",
        code=1,
        kind="UnitError",
        words="/run/systemd/private",
    ),
    "docker's configuration": Refusal(
        script=f"echo 'disabled_plugins = [\"cri\"]' > /etc/containerd/config.toml; {_RESTART}",
        code=4,
        kind="ConfigRefused",
        words="disabled_plugins",
    ),
    "somebody else's handler": Refusal(
        script=_OTHERS, code=4, kind="HandlerTaken", words="wasmtime"
    ),
    "a reserved handler": Refusal(
        script="true",
        code=2,
        kind="ManifestError",
        words="runc",
        shim=Shim(name="sly", handler="runc"),
    ),
    "containerd is down": Refusal(
        script="systemctl stop containerd",
        undo="systemctl start containerd",
        code=1,
        kind="HostError",
        words="CRI does not answer",
    ),
    "a broken configuration": Refusal(
        script="echo 'not = = toml' >> /etc/containerd/config.toml",
        code=4,
        kind="ConfigRefused",
        words="/etc/containerd/config.toml",
    ),
}


@both_releases
@pytest.mark.parametrize("fault", _FAULTS)
def test_what_cannot_be_done_is_refused_and_nothing_touched(host: support.Host, fault: str) -> None:
    expected = _FAULTS[fault]
    manifest = host.manifest(expected.shim)
    host.sh(expected.script)
    try:
        before = host.look()

        done = host.agent("apply", "-f", manifest)

        after = host.look()
    finally:
        host.sh(expected.undo)
        host.fresh(restart=True)
    assert (done.code, done.kind) == (expected.code, expected.kind), done.error
    assert expected.words in done.error
    assert done.advice
    assert after.untouched_since(before)


@both_releases
def test_without_a_sandbox_image_it_is_not_proven_and_no_failure(new_host, release: str) -> None:
    config = image.default_config(release).replace(pause.REF.encode(), b"localhost:1/none:1")
    host = new_host(config=config)

    done = host.apply(OLD)

    assert done.code == 0, done.error
    assert "not proven: the sandbox image localhost:1/none:1 cannot be had" in done.out
    assert host.status()["shims"][0]["proven"].startswith("not proven")
    assert host.apply(OLD).events[0]["changed"] is False
    assert host.remove("wasmtime").code == 0
    assert host.look().config == {nodes.CONFIG: config}


@both_releases
def test_the_fourth_restart_in_ten_minutes_is_refused(host: support.Host) -> None:
    for name in ("one", "two", "three"):
        done = host.apply(*(Shim(name=name) for name in ("one", "two", "three")[: _to(name)]))
        assert done.code == 0, done.error
        # systemd has a limit of its own, for five starts in ten seconds.
        host.sh("systemctl reset-failed containerd")
    before = host.look()

    done = host.apply(*(Shim(name=name) for name in ("one", "two", "three", "four")))

    assert (done.code, done.kind) == (10, "BudgetSpent")
    assert done.error == "containerd was restarted 3 times within 10 minutes"
    assert "run again in" in done.advice
    after = host.look()
    assert (after.config, after.containerd) == (before.config, before.containerd)
    assert after.remains == before.remains
    assert after.units == []
    # What needs no restart is not held up.
    assert host.apply(Shim(name="one", variant="v0.2.0")).code == 0


def _to(name: str) -> int:
    return ("one", "two", "three").index(name) + 1


@both_releases
def test_two_agents_do_not_meet(host: support.Host) -> None:
    before = host.look()
    first = host.background("apply", "-f", host.manifest(OLD), at=[["before", "try", "wait"]])
    for command in (["apply", "-f", "/root/shims.yaml"], ["remove", "wasmtime"], ["recover"]):
        second = host.agent(*command)

        assert (second.code, second.kind) == (9, "Busy"), command
        assert second.error == "another agent holds /run/rcm/lock"
        assert second.advice == "wait until it is done, then run again"
    host.go_on()
    out, err = first.communicate(timeout=60)
    assert support.Outcome.of(first.returncode, out.decode(), err.decode()).code == 0
    assert host.look().starts == before.starts + 1


@both_releases
def test_the_lock_of_a_killed_agent_holds_nobody_up(host: support.Host) -> None:
    run = host.interfere("apply", "-f", host.manifest(OLD), at=[["before", "link", "kill"]])
    assert run.code == 137

    done = host.apply(OLD)

    assert done.code == 0, done.error
    assert any("a run was killed at the step 'link'" in said for said in done.warnings)
