"""The agent in a pod without any right: it sees the host rightly, and does all that it does outside.

Capabilities dropped, PID and mount namespaces of its own, read-only root, five mounts.
"""

import collections.abc
import contextlib
import json

import pytest

from tests.containerd import agent_pod, conftest, support
from tests.containerd.support import OLD

pytestmark = [pytest.mark.node, pytest.mark.timeout(120)]

_LOOK = """
import dataclasses, json
from rcm_agent import look, session, settings
from rcm_agent.host import facts, open
host = open.open_host()
where = session.locate(host, settings.Settings())
kernel = host.kernel
print(json.dumps({
    "facts": {f: getattr(found, f) for found in [facts.Facts(host).read(where)]
              for f in found.__struct_fields__},
    "outside": [kernel.lstat("/srv/shims").kind, sorted(kernel.listdir("/srv/shims"))],
    "absent": kernel.lstat("/nowhere") is None and not kernel.present(["/nowhere", "/run/nothing"]),
    "present": sorted(kernel.present(["/etc/os-release", "/opt/rcm", "/bin/sh", "/nowhere"])),
    "followed": [kernel.realpath(path) for path in ("/var/run/rcm/x", "/etc/containerd/link")],
    "imported": kernel.read("/etc/containerd/link").decode(),
}))
"""
_CHANGE = """
from rcm_agent import errors
from rcm_agent.host import files, open
kernel = open.open_host().kernel
for path in ("/srv/new", "/etc/containerd/link", "/etc/machine-id"):
    try:
        files.replace(kernel, path, b"changed", expected=files.read(kernel, path))
    except errors.HostError as error:
        print(error.cause)
"""


@pytest.fixture(scope="module", params=["1.7", "2.3"])
def host(request, hosts: conftest.Hosts) -> collections.abc.Iterator[support.Host]:
    found = hosts.get(request.param)
    found.fresh()
    yield found
    found.fresh(restart=True)


@pytest.fixture(scope="module")
def pod(host: support.Host) -> collections.abc.Iterator[agent_pod.AgentPod]:
    with agent_pod.started(host) as started:
        yield started


@contextlib.contextmanager
def linked(host: support.Host) -> collections.abc.Iterator[None]:
    """Have a file of the configuration that lies elsewhere on the host."""
    host.sh("mkdir -p /srv/site; echo '# site' > /srv/site/own.txt")
    host.sh("ln -s /srv/site/own.txt /etc/containerd/link")
    try:
        yield
    finally:
        host.sh("rm -rf /etc/containerd/link /srv/site")


def test_the_pod_has_no_rights(pod: agent_pod.AgentPod):
    _, status, _ = pod.sh("cat /proc/self/status; ls /proc | grep -c '^[0-9]'")
    found = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)

    assert {int(found[f"Cap{kind}"], 16) for kind in ("Eff", "Prm", "Bnd", "Amb")} == {0}
    assert found["NoNewPrivs"] == "1"
    assert found["Seccomp"] == "2"
    assert int(status.splitlines()[-1]) < 10, "it has a PID namespace of its own"
    assert "Read-only file system" in pod.sh("touch /x")[2]


def test_the_host_is_seen_as_it_is(pod: agent_pod.AgentPod):
    host = pod.host
    with linked(host):
        found = json.loads(pod.python(_LOOK))

    facts = found["facts"]
    assert facts["distribution"] == "debian"
    assert facts["machine_id"] == host.node.read("/etc/machine-id").decode().strip()
    assert facts["containerd"].startswith(host.node.containerd)
    assert facts["schema"] == (2 if host.node.containerd == "1.7" else 4)
    assert found["outside"][0] == "dir"
    assert "v0.1.0" in found["outside"][1]
    assert found["absent"]
    assert found["present"] == ["/bin/sh", "/etc/os-release", "/opt/rcm"]
    assert found["followed"] == ["/run/rcm/x", "/srv/site/own.txt"]
    assert found["imported"] == "# site\n"


def test_what_is_not_mounted_cannot_be_changed(pod: agent_pod.AgentPod):
    with linked(pod.host):
        said = pod.python(_CHANGE)
        assert pod.host.node.read("/srv/site/own.txt") == b"# site\n"

    assert said.count("not in a directory of the host that the pod has mounted") == 3
    assert not pod.host.node.exists("/srv/new")


def test_a_shim_is_installed_and_removed(pod: agent_pod.AgentPod):
    before = pod.host.look()
    manifest = pod.host.manifest(OLD, path="/run/rcm/shims.yaml")

    done = pod.run("apply", "-f", manifest)
    assert (done.code, done.error) == (0, "")
    assert {"fetch", "probe", "restart", "verify", "prove"} <= set(done.steps)
    assert pod.host.link(OLD).startswith(f"/opt/rcm/store/sha256/{OLD.digest}/")

    again = pod.run("apply", "-f", manifest)
    assert again.steps == []

    gone = pod.run("remove", OLD.name)
    after = pod.host.look()
    assert (gone.code, after.config) == (0, before.config)
    assert after.stored == []


@pytest.mark.parametrize(
    "rights",
    [pytest.param("nobody:root 600", id="unreadable"), pytest.param("root:adm 644", id="readable")],
)
def test_a_file_of_another_owner_is_refused_with_words(pod: agent_pod.AgentPod, rights: str):
    """Without CAP_DAC_OVERRIDE and CAP_CHOWN, root is an ordinary user of other users' files."""
    host = pod.host
    manifest = host.manifest(OLD, path="/run/rcm/shims.yaml")
    before = host.look()
    config = "/etc/containerd/config.toml"
    owner, mode = rights.split()
    host.sh(f"chown {owner} {config}; chmod {mode} {config}")
    try:
        done = pod.run("apply", "-f", manifest)
    finally:
        host.sh(f"chown root:root {config}; chmod 644 {config}")

    assert done.code != 0
    assert config in done.error
    assert "owner" in done.advice
    assert before.config == host.look().config
    assert host.look().containerd == before.containerd
