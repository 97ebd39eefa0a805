"""The file system that all nodes share: Debian 12 with systemd, without containerd.

Debian 12 because its systemd still works on the cgroup v1 that some machines have, and because
its Python 3.11 runs the agent.
"""

import pathlib
import platform

from tests.testbed import cache, debian

SUITE = "bookworm"
_PACKAGES = (
    "ca-certificates",
    "containernetworking-plugins",  # pods with a network of their own
    "curl",  # the yardstick of the download bench
    "dbus",
    "iproute2",
    "iptables",  # what the CNI plugins call
    "libseccomp2",  # what the reference shim is linked with
    "mount",
    "procps",
    "python3",  # runs the agent
    "runc",
    "strace",  # shows that nothing is written
    "systemd",
    "systemd-sysv",
    "util-linux",
)
# Half of the size, and nobody reads it in a node.
_UNWANTED = ("usr/share/doc", "usr/share/locale", "usr/share/man", "var/lib/apt/lists")


def archive() -> pathlib.Path:
    """Return the path of the root file system as a tar file.

    Raises:
        BuildError: debootstrap failed.
        MachineError: This machine knows no Debian mirror.
    """
    return cache.entry("rootfs", _inputs(), _build) / "rootfs.tar"


def key() -> str:
    """Return the hash of what the file system is made from."""
    return cache.key(_inputs())


def _inputs() -> dict[str, str | bytes]:
    return {"machine": platform.machine(), **cache.recipe(pathlib.Path(__file__))}


def _build(workshop: cache.Workshop) -> None:
    tree = workshop.scratch / "tree"
    workshop.step("debootstrap")
    workshop.run(
        [
            # Its mounts (proc in the tree) must end with it, even when it is killed: the tree is
            # removed recursively then.
            *("unshare", "--mount", "--propagation", "private"),
            *("debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}"),
            *(SUITE, tree, debian.mirror()),
        ]
    )
    workshop.step("tar")
    excluded = [f"--exclude=./{path}/*" for path in (*_UNWANTED, "var/cache/apt/archives")]
    target = workshop.directory / "rootfs.tar"
    workshop.run(["tar", "-C", tree, "--numeric-owner", *excluded, "-cf", target, "."])
