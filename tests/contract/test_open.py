"""A host whose file system is mounted elsewhere is served like our own."""

from __future__ import annotations

import pytest

from tests.contract import remote

UNIT = "containerd.service"
ROOT = "/mnt/host"
pytestmark = [pytest.mark.timeout(60), pytest.mark.node]


@pytest.fixture
def mounted(one_real):
    # rslave: an unmount must not travel back to the mounts that this is a copy of.
    mount = f"mount --rbind / {ROOT} && mount --make-rslave {ROOT}"
    one_real.node.exec(["sh", "-ec", f"mkdir -p {ROOT}; ln -sfn /run /var/link; {mount}"])
    yield one_real.node
    one_real.node.exec(["sh", "-ec", f"umount --recursive --lazy {ROOT}; rm /var/link"])


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
