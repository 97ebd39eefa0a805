"""Labels on everything the test bed makes in Docker, and the removal of what was left behind.

A killed test run cannot clean up after itself (and testcontainers' own reaper is an image that
offline machines cannot pull). So every container and network says which process it belongs to; the
next run, or `python -m tests.testbed down`, removes those whose process is gone.
"""

import collections.abc
import contextlib
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


def remove_kept(client: docker.DockerClient) -> list[str]:
    """Remove the containers and networks labelled `KEPT`; return their names."""
    return _remove(client, lambda owner: owner == _NOBODY)


def identity(pid: int) -> str:
    """Return the PID and start time, since a PID alone comes again; empty when nobody has it."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return f"{pid}-{fields[19]}"  # field 22 of proc(5), starttime; 20th after the command


def _remove(client: docker.DockerClient, ends: collections.abc.Callable[[str], bool]) -> list[str]:
    removed = []
    for container in client.containers.list(all=True, filters={"label": _OURS}):
        if ends(container.labels.get(_OWNER, "")):
            with contextlib.suppress(docker.errors.NotFound, docker.errors.APIError):
                container.remove(force=True, v=True)
                removed.append(str(container.name))
    for network in client.networks.list(filters={"label": _OURS}):
        if ends((network.attrs.get("Labels") or {}).get(_OWNER, "")):
            # One that still has a container of somebody else's run stays until that is gone.
            with contextlib.suppress(docker.errors.NotFound, docker.errors.APIError):
                network.remove()
                removed.append(str(network.name))
    return removed


def _alive(owner: str) -> bool:
    pid = owner.partition("-")[0]
    return owner == _NOBODY or (pid.isdecimal() and owner == identity(int(pid)))
