"""What the machine that runs the tests must have: a few packages, and a Docker daemon.

Nothing is asked of a machine that has everything: no package list is read, no daemon is started.
What is missing is installed where apt and root are there, and named where they are not.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import subprocess
import time

import docker
import docker.errors

from tests.testbed import cache, errors, progress

# A fresh dockerd answered after 1.5 s here; a busy machine may need a while.
_DAEMON_TIMEOUT_S = 60.0
_POLL_S = 0.1


@dataclasses.dataclass(frozen=True, slots=True)
class Need:
    """One thing that the machine must have.

    Attributes:
        package: The Debian package that brings it.
        probe: A command that succeeds when it is there.
        purpose: What it is for, in words for the person who has to install it.
    """

    package: str
    probe: tuple[str, ...]
    purpose: str


NEEDS = (
    Need("debootstrap", ("debootstrap", "--version"), "the nodes' root file system"),
    Need("gcc", ("gcc", "--version"), "the pause image"),
    Need("libc6-dev", ("test", "-e", "/usr/include/stdlib.h"), "the pause image"),
    Need("iptables", ("iptables", "--version"), "the Docker daemon's networks"),
    Need("iproute2", ("ip", "-V"), "routes to pods"),
    Need("protobuf-compiler", ("protoc", "--version"), "the shim"),
    Need("pkg-config", ("pkg-config", "--version"), "the shim"),
    Need("libseccomp-dev", ("pkg-config", "--exists", "libseccomp"), "the shim"),
    Need("curl", ("curl", "--version"), "the download bench"),
    Need("strace", ("strace", "--version"), "proofs that nothing is written"),
)
_DOCKER = Need("docker.io", ("dockerd", "--version"), "the nodes themselves")


def available() -> str | None:
    """Say why this machine cannot run nodes; None when it can, perhaps after `prepare()`."""
    if not pathlib.Path("/proc/self/ns").exists():
        return "nodes need Linux"
    if daemon_answers():
        return None
    if os.geteuid() != 0:
        return "no Docker daemon answers, and only root can start one"
    if os.environ.get("DOCKER_HOST"):
        return f"the Docker daemon at DOCKER_HOST={os.environ['DOCKER_HOST']} does not answer"
    if not _there(_DOCKER) and shutil.which("apt-get") is None:
        return "dockerd is not installed, and there is no apt-get to install it"
    return None


_INOTIFY = pathlib.Path("/proc/sys/fs/inotify/max_user_instances")
_INOTIFY_INSTANCES = 1024
"""Enough for a hundred nodes; kind's documentation suggests 512."""


def prepare() -> None:
    """Install what is missing and make a Docker daemon answer.

    Raises:
        MachineError: Something is missing that we may not, or cannot, add.
    """
    if lacking := missing():
        _install(lacking)
    _allow_inotify()
    ensure_daemon()


def _allow_inotify() -> None:
    """Raise the limit on inotify instances: systemd and containerd take about seven a node.

    At the kernel's 128 containerd's CRI failed to load from about twenty nodes on. kind asks its
    users for the same. Where we may not, fewer nodes at a time work.
    """
    with contextlib.suppress(OSError):
        if int(_INOTIFY.read_text()) < _INOTIFY_INSTANCES:
            _INOTIFY.write_text(f"{_INOTIFY_INSTANCES}\n")


def missing() -> list[Need]:
    """Return what the machine does not have yet."""
    lacking = [need for need in NEEDS if not _there(need)]
    if not daemon_answers() and not _there(_DOCKER):
        lacking.append(_DOCKER)
    return lacking


def ensure_daemon() -> None:
    """Start a Docker daemon in the background unless one answers.

    The daemon outlives this process: the next run finds it.

    Raises:
        MachineError: None answers, and none can be started.
    """
    if daemon_answers():
        return
    if reason := available():
        raise errors.MachineError(reason)
    with cache.lock("dockerd"):
        if not daemon_answers():
            _start_daemon()


def daemon_answers() -> bool:
    """Tell whether a Docker daemon answers."""
    try:
        client = docker.from_env(timeout=5)
    except docker.errors.DockerException:
        return False
    try:
        return bool(client.ping())
    except (docker.errors.DockerException, OSError):
        return False
    finally:
        client.close()


def _start_daemon() -> None:
    log = cache.log_path("dockerd")
    with progress.board.task("docker daemon"), log.open("w") as output:
        daemon = subprocess.Popen(
            ["dockerd"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + _DAEMON_TIMEOUT_S
        while not daemon_answers():
            if (code := daemon.poll()) is not None:
                raise errors.MachineError(f"dockerd exited with {code}: see {log}")
            if time.monotonic() > deadline:
                daemon.kill()
                raise errors.MachineError(f"dockerd does not answer: see {log}")
            time.sleep(_POLL_S)
        # A daemon that goes on without us is no leak: keep Popen from warning about it.
        daemon.returncode = 0


def _install(lacking: list[Need]) -> None:
    names = " ".join(need.package for need in lacking)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        wants = "; ".join(f"{need.package} for {need.purpose}" for need in lacking)
        raise errors.MachineError(f"please install: {wants}")
    log = cache.log_path("apt")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with progress.board.task(f"packages {names}") as step:
        step("apt update")
        cache.run_logged(["apt-get", "update"], log=log)
        step("apt install")
        install = ["apt-get", "install", "--yes", "--no-install-recommends"]
        cache.run_logged([*install, *names.split()], log=log, env=quiet)


def _there(need: Need) -> bool:
    try:
        done = subprocess.run(need.probe, capture_output=True, check=False, timeout=30)
    except OSError:
        return False
    return done.returncode == 0
