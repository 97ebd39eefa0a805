"""Labels on everything the test bed makes in Docker, and the removal of what was left behind.

A killed test run cannot clean up after itself (and testcontainers' own reaper is an image that
offline machines cannot pull). So every container says which process it belongs to; the next run,
or `python -m tests.testbed down`, removes those whose process is gone.
"""

import contextlib
import os
import pathlib

import docker
import docker.errors

_OURS = "rcm.test/testbed"
_OWNER = "rcm.test/owner"

OURS = {_OURS: "yes"}


def of_this_process() -> dict[str, str]:
    """Return the labels of a container that ends with this process."""
    return {**OURS, _OWNER: _identity(os.getpid())}


def remove_leftovers(client: docker.DockerClient, *, everything: bool = False) -> list[str]:
    """Remove containers whose process is gone, or all of ours; return their names.

    Args:
        client: Of the daemon that has them.
        everything: Also those of running processes, and volumes.
    """
    removed = []
    for container in client.containers.list(all=True, filters={"label": _OURS}):
        if everything or not _alive(container.labels.get(_OWNER, "")):
            with contextlib.suppress(docker.errors.NotFound, docker.errors.APIError):
                container.remove(force=True, v=True)
                removed.append(str(container.name))
    if everything:
        for volume in client.volumes.list(filters={"label": _OURS}):
            volume.remove(force=True)
            removed.append(str(volume.name))
    return removed


def _alive(identity: str) -> bool:
    pid = identity.partition("-")[0]
    return pid.isdecimal() and identity == _identity(int(pid))


def _identity(pid: int) -> str:
    """Return the PID and start time: a PID alone comes again."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return f"{pid}-{fields[19]}"  # field 22 of proc(5), starttime; 20th after the command
