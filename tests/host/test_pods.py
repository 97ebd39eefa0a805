"""What of the host a pod has, read from the kernel's table."""

import pytest

from rcm_agent import errors
from rcm_agent.host import pods

# As seen in a pod on a test node, and what kubelet adds.
TABLE = """\
620 500 0:80 / / ro,relatime master:1 - overlay overlay ro,lowerdir=/a
621 620 0:84 / /proc rw,nosuid - proc proc rw
622 620 0:85 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k
623 622 0:86 / /dev/pts rw,nosuid - devpts devpts rw
625 620 0:70 / /sys ro,nosuid - sysfs sysfs ro
626 620 8:1 /etc/containerd /etc/containerd rw,relatime - ext4 /dev/sda1 rw
627 620 8:1 /opt/rcm /opt/rcm rw,relatime - ext4 /dev/sda1 rw
628 620 0:25 /rcm /run/rcm rw,nosuid - tmpfs tmpfs rw
629 620 0:25 /containerd /run/containerd ro,nosuid - tmpfs tmpfs rw
630 620 0:25 /systemd/private /run/systemd/private ro,nosuid - tmpfs tmpfs rw
631 620 8:1 /var/lib/kubelet/pods/u/etc-hosts /etc/hosts rw - ext4 /dev/sda1 rw
632 620 0:90 / /var/run/secrets/kubernetes.io/serviceaccount ro - tmpfs tmpfs rw
633 620 0:91 / /etc/rcm-ca ro - tmpfs tmpfs rw
634 620 8:1 /pods/u/volumes/kubernetes.io~empty-dir/scratch /scratch rw - ext4 /dev/sda1 rw
636 629 0:99 / /run/containerd/io.containerd.runtime.v2.task/k8s.io/a/rootfs rw - overlay o rw
635 620 8:1 /srv/my\\040host /srv/my\\040host rw - ext4 /dev/sda1 rw
"""
HOSTS = (
    "/etc/containerd",
    "/opt/rcm",
    "/run/containerd",
    "/run/rcm",
    "/run/systemd/private",
    "/srv/my host",
)


@pytest.fixture
def table(tmp_path, monkeypatch):
    path = tmp_path / "mountinfo"
    monkeypatch.setattr(pods, "_TABLE", str(path))
    return path


def test_directories_of_the_host_are_told_from_the_pod_s_own(table):
    table.write_text(TABLE)

    assert pods.mounts() == HOSTS


@pytest.mark.parametrize("path", pods.NEEDED)
def test_a_pod_that_lacks_something_is_told_what(table, path):
    table.write_text("".join(line + "\n" for line in TABLE.splitlines() if f" {path} " not in line))

    with pytest.raises(errors.UnsupportedHost, match=f"has not mounted {path} of the host"):
        pods.mounts()


@pytest.mark.usefixtures("table")
def test_without_the_table_there_is_an_error():
    with pytest.raises(errors.HostError, match="cannot read"):
        pods.mounts()


def test_this_is_no_pod():
    assert not pods.inside()
