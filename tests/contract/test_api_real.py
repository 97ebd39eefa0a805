"""What only a real API server can show: logins, its death, its stillness, its past."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rcm_api.client import api, credentials, errors, http, reflector, resources
from tests.client.drive import View
from tests.contract.api_servers import connected
from tests.testbed import controlplane

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]
NODES = resources.NODES


def node(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}


def client(moves: http.Http) -> api.Client:
    return api.Client(moves, manager="test")


def wait(for_: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not for_():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.05)


# Logins.


@contextlib.contextmanager
def logged_in(logins: credentials.Credentials) -> Iterator[api.Client]:
    with contextlib.closing(http.Http(logins, agent="contract")) as moves:
        yield client(moves)


def service_account(plane: controlplane.ControlPlane, directory: Path) -> credentials.PodFiles:
    """Give what a Pod of a new ServiceAccount finds in its files."""
    plane.kubectl("create", "serviceaccount", directory.name)
    role = ("--verb=list", "--resource=runtimeclasses.node.k8s.io")
    plane.kubectl("create", "clusterrole", directory.name, *role)
    binding = (f"--clusterrole={directory.name}", f"--serviceaccount=default:{directory.name}")
    plane.kubectl("create", "clusterrolebinding", directory.name, *binding)
    token = plane.kubectl("create", "token", directory.name)
    (directory / "token").write_text(token)
    (directory / "ca.crt").write_bytes(plane.ca.read_bytes())
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(plane.port)}
    return credentials.PodFiles(directory, environ=environ, now=time.monotonic)


@pytest.fixture
def pod(control_plane: controlplane.ControlPlane, tmp_path: Path) -> Iterator[api.Client]:
    directory = tmp_path / f"pod-{os.getpid()}-{time.monotonic_ns()}"
    directory.mkdir()
    with logged_in(service_account(control_plane, directory)) as found:
        yield found


def test_a_pod_logs_in_with_its_token(pod: api.Client):
    assert pod.list(resources.RUNTIMECLASSES, decode=api.document) == ()


def test_what_the_role_does_not_allow_is_forbidden(pod: api.Client):
    with pytest.raises(errors.Forbidden) as caught:
        pod.list(NODES, decode=api.document)

    assert "cannot list resource" in str(caught.value)


def test_a_token_that_nobody_gave_is_unauthorized(control_plane: controlplane.ControlPlane):
    path = control_plane.write_kubeconfig("stranger", {"token": "made-up"})
    logins = credentials.Kubeconfig(str(path))
    with logged_in(logins) as found, pytest.raises(errors.Unauthorized):
        found.list(NODES, decode=api.document)


def test_an_exec_plugin_logs_in(control_plane: controlplane.ControlPlane, tmp_path: Path):
    pair = control_plane.authority.client("by-plugin", groups=("system:masters",))
    said = tmp_path / "said.json"
    said.write_text(_credential(pair.certificate.decode(), pair.key.decode()))
    exec_ = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", f"print(open({str(said)!r}).read())"],
        "interactiveMode": "Never",
    }
    path = control_plane.write_kubeconfig("by-plugin", {"exec": exec_})
    with logged_in(credentials.Kubeconfig(str(path))) as found:
        assert found.list(NODES, decode=api.document) == ()


def _credential(certificate: str, key: str) -> str:
    status = {"clientCertificateData": certificate, "clientKeyData": key}
    kind = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    return json.dumps({**kind, "status": status})


def test_a_server_of_another_authority_is_not_talked_to(
    control_plane: controlplane.ControlPlane, tmp_path: Path
):
    (tmp_path / "ca.crt").write_bytes(controlplane.pki.authority("other").pair.certificate)
    (tmp_path / "token").write_text("secret")
    environ = {
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(control_plane.port),
    }
    logins = credentials.PodFiles(tmp_path, environ=environ, now=time.monotonic)
    with logged_in(logins) as found, pytest.raises(errors.Unreachable, match="certificate"):
        found.list(NODES, decode=api.document)


# The server dies, stands still, goes back. On a control plane of its own.


@dataclass(frozen=True, slots=True)
class Follower:
    """A reflector of nodes in a thread, and its view."""

    reflector: reflector.Reflector
    view: View

    @property
    def health(self) -> reflector.Health:
        return self.reflector.health

    def names(self) -> set[str]:
        return set(self.view.objects)


@pytest.fixture
def follower(fresh_control_plane: controlplane.ControlPlane) -> Iterator[Follower]:
    """Follow the nodes of a fresh control plane."""
    stop, view = threading.Event(), View()
    limits = api.WatchLimits(duration_s=4, silence_s=8)
    with contextlib.closing(connected(fresh_control_plane)) as moves:
        found = reflector.Reflector(
            client(moves),
            reflector.Source(NODES),
            view,
            now=time.monotonic,
            random=random.random,
            settings=reflector.Settings(limits=limits),
        )
        thread = threading.Thread(target=found.run, args=(stop,))
        thread.start()
        wait(lambda: found.health.synced)
        yield Follower(found, view)
        stop.set()
    thread.join(10)
    assert not thread.is_alive()


def create(plane: controlplane.ControlPlane, name: str) -> None:
    assert plane.ask("POST", NODES.path(), node(name)) == 201


def test_the_view_survives_the_servers_death(
    fresh_control_plane: controlplane.ControlPlane, follower: Follower
):
    plane = fresh_control_plane
    create(plane, "before")
    wait(lambda: follower.names() == {"before"})
    plane.api_server.kill()
    wait(lambda: follower.health.error is not None)
    plane.api_server.start()
    plane.wait_ready()
    create(plane, "after")

    wait(lambda: follower.names() == {"before", "after"})


def test_a_server_that_stands_still_is_noticed(
    fresh_control_plane: controlplane.ControlPlane, follower: Follower
):
    plane = fresh_control_plane
    plane.api_server.signal(signal.SIGSTOP)
    wait(lambda: isinstance(follower.health.error, errors.Unreachable))
    plane.api_server.signal(signal.SIGCONT)
    create(plane, "after")

    wait(lambda: follower.names() == {"after"})
    assert follower.health.lists == 1


def test_a_restore_from_a_backup_is_noticed(
    fresh_control_plane: controlplane.ControlPlane, follower: Follower, tmp_path: Path
):
    plane = fresh_control_plane
    create(plane, "kept")
    data, backup = plane.directory / "etcd", tmp_path / "backup"
    plane.stop()
    shutil.copytree(data, backup)
    plane.start()
    for number in range(200):
        create(plane, f"lost-{number}")
    wait(lambda: len(follower.names()) == 201)
    plane.stop()
    shutil.rmtree(data)
    shutil.copytree(backup, data)
    plane.start()

    wait(lambda: follower.names() == {"kept"})
