"""A host whose file system is mounted elsewhere is served like our own."""

from __future__ import annotations

import pytest

from tests.contract import remote

UNIT = "containerd.service"
ROOT = "/run/host"
pytestmark = [pytest.mark.timeout(60), pytest.mark.node]


@pytest.fixture
def mounted(one_real):
    script = f"mkdir -p {ROOT}/mnt && mount --rbind / {ROOT} && ln -sfn /run /var/link"
    one_real.node.exec(["sh", "-c", script])
    yield one_real.node
    one_real.node.exec(["sh", "-c", f"umount -R {ROOT}; rm -f /var/link"])


@pytest.mark.parametrize("base", ["/run", "/var/link"])
def test_every_door_opens_below_another_root(mounted, one_real, base):
    sockets = {
        "socket": f"{base}/containerd/containerd.sock",
        "systemd_socket": f"{base}/systemd/private",
    }
    with remote.opened(mounted, ROOT, **sockets) as agent:
        assert agent.host.systemd.unit(UNIT) == one_real.host.systemd.unit(UNIT)
        assert agent.host.containerd.status(timeout_s=10).runtime_ready
        assert agent.host.machine.boot_id() == one_real.host.machine.boot_id()
        assert agent.host.machine.processes()
        assert agent.host.kernel.read("/etc/os-release")
