"""Labels on everything the test bed makes in Docker, and the removal of what was left behind.

A killed test run cannot clean up after itself (and testcontainers' own reaper is an image that
offline machines cannot pull). So every container and network says which process it belongs to; the
next run, or `python -m tests.testbed down`, removes those whose process is gone.
"""

import collections.abc
import concurrent.futures
import contextlib
import functools
import os
import pathlib

import docker
import docker.errors

_OURS = "rcm.test/testbed"
_OWNER = "rcm.test/owner"
# The owner of what is to outlive its process.
_NOBODY = "kept"

OURS = {_OURS: "yes"}
KEPT = {**OURS, _OWNER: _NOBODY}
"""On what stays until `remove_kept`, whoever made it."""


def of_this_process() -> dict[str, str]:
    """Return the labels of what ends with this process."""
    return {**OURS, _OWNER: identity(os.getpid())}


def remove_leftovers(client: docker.DockerClient, *, everything: bool = False) -> list[str]:
    """Remove containers and networks whose process is gone, or all of ours; return their names.

    Args:
        client: Of the daemon that has them.
        everything: Also those of running processes, what is to be kept, and volumes.
    """
    removed = _remove(client, lambda owner: everything or not _alive(owner))
    if everything:
        for volume in client.volumes.list(filters={"label": _OURS}):
            volume.remove(force=True)
            removed.append(str(volume.name))
    return removed


@functools.cache
def remove_leftovers_once() -> None:
    """Remove what killed runs left behind, the first time that a process asks."""
    client = docker.from_env()
    try:
        remove_leftovers(client)
    finally:
        client.close()


def remove_kept(client: docker.DockerClient) -> list[str]:
    """Remove the containers and networks labelled `KEPT`; return their names."""
    return _remove(client, lambda owner: owner == _NOBODY)


def remove_own(client: docker.DockerClient) -> list[str]:
    """Remove what this process made and does not need any more; return the names."""
    return _remove(client, lambda owner: owner == identity(os.getpid()))


def identity(pid: int) -> str:
    """Return the PID and start time, since a PID alone comes again; empty when nobody has it."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return f"{pid}-{fields[19]}"  # field 22 of proc(5), starttime; 20th after the command


def _remove(client: docker.DockerClient, ends: collections.abc.Callable[[str], bool]) -> list[str]:
    containers = client.containers.list(all=True, filters={"label": _OURS}, ignore_removed=True)
    over = [each for each in containers if ends(each.labels.get(_OWNER, ""))]
    networks = client.networks.list(filters={"label": _OURS})
    unused = [each for each in networks if ends((each.attrs["Labels"] or {}).get(_OWNER, ""))]
    with concurrent.futures.ThreadPoolExecutor(max(1, len(over))) as pool:
        removed = [*pool.map(_remove_container, over)]
    return [*filter(None, removed), *filter(None, map(_remove_network, unused))]


def _remove_container(container: docker.models.containers.Container) -> str | None:
    with contextlib.suppress(docker.errors.NotFound, docker.errors.APIError):
        container.remove(force=True, v=True)
        return str(container.name)
    return None


def _remove_network(network: docker.models.networks.Network) -> str | None:
    with contextlib.suppress(docker.errors.NotFound, docker.errors.APIError):
        network.remove()
        return str(network.name)
    return None


def _alive(owner: str) -> bool:
    pid = owner.partition("-")[0]
    return owner == _NOBODY or (pid.isdecimal() and owner == identity(int(pid)))
