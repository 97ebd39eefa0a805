"""The one cluster that may outlive the process that started it: where it is, and its end.

Containers and networks carry a label (`labels.KEPT`). Processes of the control plane are known by
the directory that all their flags name: so even those of a start that was cut short are found.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import time

import docker

from tests.testbed import cache, errors, kube, labels

_PLANE = frozenset(kube.PARTS) - {"kubectl", "kubelet"}
_DOCKER_TIMEOUT_S = 120
_END_TIMEOUT_S = 10.0
_POLL_S = 0.02


def remember(directory: pathlib.Path) -> None:
    """Note where the kept cluster's control plane is, before anything of it starts."""
    _state().parent.mkdir(parents=True, exist_ok=True)
    _state().write_text(json.dumps({"directory": str(directory)}))


def directory() -> pathlib.Path | None:
    """Return where the kept cluster's control plane is; None when there is none."""
    try:
        return pathlib.Path(json.loads(_state().read_text())["directory"])
    except FileNotFoundError:
        return None


def stop() -> None:
    """Remove the kept cluster, if there is one: processes, data, containers and network.

    Raises:
        NodeError: A process does not end.
    """
    if place := directory():
        _stop_plane(place)
    with contextlib.closing(docker.from_env(timeout=_DOCKER_TIMEOUT_S)) as client:
        labels.remove_kept(client)
    _state().unlink(missing_ok=True)


def processes(place: pathlib.Path) -> list[int]:
    """Return the PIDs of the control plane in a directory."""
    return [int(each.name) for each in pathlib.Path("/proc").glob("[0-9]*") if _is_of(each, place)]


def _stop_plane(place: pathlib.Path) -> None:
    found = processes(place)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _await_end(found)
    for files in place.glob("attempt-*"):  # what `controlplane` made; the rest is not ours
        shutil.rmtree(files, ignore_errors=True)


def _state() -> pathlib.Path:
    return cache.root() / "kept-cluster.json"


def _is_of(process: pathlib.Path, place: pathlib.Path) -> bool:
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    of_plane = pathlib.Path(words[0]).name in _PLANE
    return of_plane and any(f"={place}/" in word for word in words[1:])


def _await_end(pids: list[int]) -> None:
    deadline = time.monotonic() + _END_TIMEOUT_S
    while left := [pid for pid in pids if _runs(pid)]:
        if time.monotonic() > deadline:
            raise errors.NodeError(f"processes {left} of the kept cluster do not end")
        time.sleep(_POLL_S)


def _runs(pid: int) -> bool:
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
