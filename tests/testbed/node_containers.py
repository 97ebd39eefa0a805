"""How a node's container is made: its rights, its mounts, its name. Called by `nodes`, `kubelets`."""

import collections.abc
import functools
import hashlib
import os
import pathlib
import sys
import sysconfig
import typing
import uuid

# testcontainers reads this when it is imported. Its reaper is an image from a registry that
# offline machines cannot pull; tests.testbed.labels removes leftovers instead.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")

import docker
from testcontainers.core.container import DockerContainer

from tests.testbed import errors, image, labels

CHECKOUT = pathlib.Path(__file__).parents[2]


def unprivileged_flags() -> dict[str, typing.Any]:
    """Return the rights that systemd and containerd need in a container, and no more.

    `--privileged` is refused on some machines (where CAP_SYS_RESOURCE is missing, for example),
    so nodes never ask for it: one set of rights means that a test sees the same node everywhere.
    The entrypoint makes writable what Docker mounts read-only for such containers.
    """
    return {
        "cap_add": [
            "AUDIT_WRITE",
            "MKNOD",
            "NET_ADMIN",
            "NET_RAW",
            "SYSLOG",
            "SYS_ADMIN",
            "SYS_CHROOT",
            "SYS_PTRACE",
            "SYS_RAWIO",
        ],
        "security_opt": ["apparmor=unconfined", "seccomp=unconfined"],
        "cgroupns": "private",
        "devices": ["/dev/kmsg"] if pathlib.Path("/dev/kmsg").exists() else [],
    }


def container(
    version: str, mounts: collections.abc.Mapping[pathlib.Path, str], *, checkout: pathlib.Path
) -> DockerContainer:
    """Return a single node's container, not created yet.

    Args:
        version: A name of `containerd.VERSIONS`.
        mounts: Directories of this machine, read-only, and where the node sees them.
        checkout: Whose `rcm_agent` the node runs.

    Raises:
        BuildError: The node's image cannot be built.
        MachineError: This Python's packages do not load in a node.
    """
    found = DockerContainer(image.node(version))
    found.with_name(f"rcm-{version}-{uuid.uuid4().hex[:8]}")
    found.with_kwargs(
        hostname=f"node-{version.replace('.', '-')}",
        labels=labels.of_this_process(),
        **unprivileged_flags(),
    )
    found.with_tmpfs_mount("/run", "exec,mode=755")
    found.with_tmpfs_mount("/tmp", "exec,mode=1777")
    for source, target in mounts.items():
        found.with_volume_mapping(str(source.resolve()), target, "ro")
    for name, target, mode in agent_mounts(checkout):
        found.with_volume_mapping(name, target, mode)
    return found


def agent_mounts(checkout: pathlib.Path = CHECKOUT) -> tuple[tuple[str, str, str], ...]:
    """Return what `rcm-agent` of a checkout needs in a node: source, target and mode.

    Raises:
        MachineError: This Python's packages do not load in a node.
    """
    return (
        (str(checkout.resolve()), "/srv/rcm", "ro"),
        (str(_dependencies()), "/srv/rcm-deps", "ro"),
        (_pycache(checkout), "/var/cache/rcm-pycache", "rw"),
    )


def _dependencies() -> pathlib.Path:
    """Return this interpreter's packages; the node's Python 3.11 loads them as they are."""
    if sys.version_info[:2] != (3, 11):
        raise errors.MachineError(
            "nodes have Python 3.11 and use the packages of the Python that runs the tests: "
            f"run them with Python 3.11, not {sys.version.split()[0]}"
        )
    return pathlib.Path(sysconfig.get_path("platlib"))


@functools.cache
def _pycache(checkout: pathlib.Path) -> str:
    """Return a volume for compiled Python files, shared by all nodes of one checkout.

    One per checkout: compiled files are matched by time and size of their source only, and a copy
    of the checkout with one changed letter (a mutant) may have both in common.
    """
    name = f"rcm-pycache-{hashlib.sha256(str(checkout.resolve()).encode()).hexdigest()[:8]}"
    client = docker.from_env()
    try:
        client.volumes.create(name, labels=labels.OURS)
    finally:
        client.close()
    return name
