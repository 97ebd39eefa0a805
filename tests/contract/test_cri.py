"""What `ports.Containerd` promises of CRI, on real nodes and simulated hosts."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time

import pytest

from rcm_agent import errors
from rcm_agent.host import containerd

UNIT = "containerd.service"
CONFIG = "/etc/containerd/config.toml"
PAUSE = "rcm.test/pause:1"
NAME = "contract"
pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def clean(request):
    """Give back a shared node with the configuration it had, running, without our sandboxes."""
    found = next((n for n in ("place", "real", "one_real") if n in request.fixturenames), None)
    if found is None:
        yield
        return
    here = request.getfixturevalue(found)
    before = here.read(CONFIG)
    yield
    if here.read(CONFIG) != before:
        here.write(CONFIG, before)
        restart(here)
    remove_ours(here)


def restart(place, *, timeout_s: float = 30) -> None:
    place.host.systemd.reset_failed(UNIT)
    place.host.systemd.restart(UNIT, timeout_s=timeout_s)


def remove_ours(place) -> None:
    for sandbox in ours(place):
        place.host.containerd.remove_sandbox(sandbox.id, timeout_s=10)


def ours(place):
    found = place.host.containerd.sandboxes(timeout_s=10)
    return [sandbox for sandbox in found if sandbox.name.startswith("rcm-proof/")]


def run(place, *, handler: str = "runc", name: str = NAME, timeout_s: float = 20) -> str:
    return place.host.containerd.run_sandbox(handler=handler, name=name, timeout_s=timeout_s)


# --- status ---


def test_a_healthy_runtime_is_ready_with_its_handlers(place):
    found = place.host.containerd.status(timeout_s=10)

    assert found.runtime_ready
    assert found.network_ready
    assert "runc" in found.handlers
    assert "" not in found.handlers
    assert re.match(r"v?\d+\.\d+", found.runtime_version)


def test_the_sandbox_image_is_told_by_1_x_only(real):
    told = real.host.containerd.status(timeout_s=10).sandbox_image

    assert told == (PAUSE if real.release < (2, 0) else "")


def test_the_first_call_after_a_restart_works(place):
    place.host.containerd.status(timeout_s=10)
    restart(place)
    began = time.monotonic()

    assert place.host.containerd.status(timeout_s=10).runtime_ready
    assert time.monotonic() - began < 3


def test_many_restarts_and_calls_follow_each_other(real):
    for _ in range(4):
        restart(real)
        assert real.host.containerd.status(timeout_s=10).runtime_ready


def test_a_dead_daemon_is_unavailable_until_it_is_back(real):
    real.host.containerd.status(timeout_s=10)
    real.node.systemctl("stop", UNIT)
    try:
        for _ in range(3):
            with pytest.raises(errors.CriError) as caught:
                real.host.containerd.status(timeout_s=10)
            assert caught.value.code == "UNAVAILABLE"
            assert "systemctl" in caught.value.advice
    finally:
        restart(real)

    assert real.host.containerd.status(timeout_s=10).runtime_ready


def test_a_dead_cri_plugin_is_unimplemented_while_the_daemon_lives(place):
    text = place.read(CONFIG)
    table = b'[plugins."io.containerd.grpc.v1.cri".containerd]\ndefault_runtime_name = "nosuch"\n'
    broken = text.replace(b'default_runtime_name = "runc"', b'default_runtime_name = "nosuch"')
    place.write(CONFIG, broken if broken != text else text + table)
    restart(place)

    assert place.host.systemd.unit(UNIT).active_state == "active"
    for ask in (place.host.containerd.status, place.host.containerd.sandboxes):
        with pytest.raises(errors.CriError) as caught:
            ask(timeout_s=10)
        assert caught.value.code == "UNIMPLEMENTED"
    assert place.host.containerd.containers(timeout_s=10) == ()
    place.write(CONFIG, text)
    restart(place)


def test_closing_dials_anew(place):
    place.host.containerd.status(timeout_s=10)
    place.host.containerd.close()
    place.host.containerd.close()

    assert place.host.containerd.status(timeout_s=10).runtime_ready


# --- sandboxes ---


def test_a_sandbox_runs_until_it_is_removed(place):
    sandbox = run(place)
    (listed,) = ours(place)
    running = [c for c in place.host.containerd.containers(timeout_s=10) if c.sandbox == sandbox]

    assert (listed.id, listed.handler, listed.ready) == (sandbox, "runc", True)
    assert listed.name == f"rcm-proof/{NAME}"
    assert [(c.id, c.name, c.survives_restart) for c in running] == [(sandbox, listed.name, True)]
    place.host.containerd.remove_sandbox(sandbox, timeout_s=10)
    assert ours(place) == []


def test_removing_a_sandbox_that_is_gone_is_fine(place):
    sandbox = run(place)
    place.host.containerd.remove_sandbox(sandbox, timeout_s=10)
    place.host.containerd.remove_sandbox(sandbox, timeout_s=10)
    place.host.containerd.remove_sandbox("nosuch", timeout_s=10)


def test_what_a_killed_agent_left_goes_with_the_next_run(place):
    left = run(place)
    place.kill_agent()
    made = run(place)

    assert made != left
    assert [sandbox.id for sandbox in ours(place)] == [made]


def test_an_unknown_handler_is_refused_in_containerds_words(place):
    with pytest.raises(errors.CriError, match=r"no runtime for .nosuch. is configured") as caught:
        run(place, handler="nosuch")

    assert caught.value.code == "UNKNOWN"
    assert ours(place) == []


def test_a_sandbox_survives_a_restart(place):
    sandbox = run(place)
    restart(place)

    assert [(found.id, found.ready) for found in ours(place)] == [(sandbox, True)]


def add_handler(real, script: str, *, timeout_s: float = 30) -> None:
    """Let a handler `odd` have this script as its shim."""
    real.node.write("/opt/odd/containerd-shim-odd-v1", f"#!/bin/sh\n{script}\n".encode(), 0o755)
    old = real.release < (2, 0)
    plugin = "io.containerd.grpc.v1.cri" if old else "io.containerd.cri.v1.runtime"
    table = f'[plugins."{plugin}".containerd.runtimes.odd]\n'
    # A path as the type: 1.6 does not use `runtime_path`.
    kind = 'runtime_type = "/opt/odd/containerd-shim-odd-v1"\n'
    real.write(CONFIG, real.read(CONFIG) + f"\n{table}{kind}".encode())
    restart(real, timeout_s=timeout_s)


def test_a_shim_that_exits_is_told_in_containerds_words(real):
    add_handler(real, "echo broken >&2; exit 3")
    assert "odd" in real.host.containerd.status(timeout_s=10).handlers

    with pytest.raises(errors.CriError, match="exit status 3"):
        run(real, handler="odd")
    assert ours(real) == []


def test_a_shim_that_hangs_is_an_error_in_time_and_leaves_nothing(real):
    # Only at `start`: containerd 2.3 asks `-info` of each shim while it starts, see below.
    add_handler(real, 'case "$*" in *start*) exec sleep 7654;; esac; exit 1')
    began = time.monotonic()
    with pytest.raises(errors.CriError) as caught:
        run(real, handler="odd", timeout_s=2)

    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert time.monotonic() - began < 10
    assert ours(real) == []
    assert real.host.containerd.status(timeout_s=10).runtime_ready


def test_a_containerd_that_does_not_come_back_can_be_restarted_again(one_real):
    good = one_real.read(CONFIG)
    with pytest.raises(errors.UnitError, match="not done after 2 s"):
        add_handler(one_real, "exec sleep 7654", timeout_s=2)
    with pytest.raises(errors.CriError) as caught:
        one_real.host.containerd.status(timeout_s=1)
    one_real.write(CONFIG, good)
    restart(one_real)

    assert caught.value.code in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
    assert one_real.host.containerd.status(timeout_s=10).runtime_ready


def test_a_handler_with_systemds_cgroups_gets_a_slice(real):
    text = real.read(CONFIG)
    assert b"SystemdCgroup = false" in text
    real.write(CONFIG, text.replace(b"SystemdCgroup = false", b"SystemdCgroup = true"))
    restart(real)
    sandbox = run(real)

    units = real.node.systemctl("list-units", "--no-legend", "cri-containerd-*").stdout
    assert sandbox in units


# --- images ---


def test_an_image_that_is_there_is_there(place):
    name = place.host.containerd.status(timeout_s=10).sandbox_image or PAUSE

    assert place.host.containerd.ensure_image(name, timeout_s=10) is None


def test_an_image_that_cannot_be_had_has_a_reason(place):
    reason = place.host.containerd.ensure_image("127.0.0.1:1/nosuch:1", timeout_s=10)

    assert "127.0.0.1:1/nosuch:1" in reason
    assert "\n" not in reason


# --- sockets ---


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return str(tmp_path / "c.sock")


@contextlib.contextmanager
def server(path, talk):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    held = []

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                held.append(connection)
                with contextlib.suppress(OSError):
                    talk(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in held:
            connection.close()


@pytest.mark.parametrize(
    ("talk", "codes"),
    [
        pytest.param(lambda _: None, {"DEADLINE_EXCEEDED", "UNAVAILABLE"}, id="hangs"),
        pytest.param(lambda c: c.close(), {"UNAVAILABLE", "DEADLINE_EXCEEDED"}, id="hangs up"),
        pytest.param(
            lambda c: (c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), c.close()),
            {"UNAVAILABLE", "DEADLINE_EXCEEDED"},
            id="speaks HTTP/1",
        ),
        pytest.param(
            lambda c: (c.sendall(bytes(range(256)) * 4), c.close()),
            {"UNAVAILABLE", "DEADLINE_EXCEEDED"},
            id="speaks noise",
        ),
    ],
)
def test_a_broken_socket_is_an_error_in_time(path, talk, codes):
    began = time.monotonic()
    with server(path, talk):
        door = containerd.RealContainerd(path)
        with pytest.raises(errors.CriError) as caught:
            door.status(timeout_s=1)
        door.close()

    assert caught.value.code in codes
    assert caught.value.advice
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("stale", [True, False])
def test_nobody_listening_is_unavailable_and_silent(path, stale, capfd):
    if stale:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(path)
    with pytest.raises(errors.CriError) as caught:
        containerd.RealContainerd(path).status(timeout_s=5)

    assert caught.value.code == "UNAVAILABLE"
    assert capfd.readouterr() == ("", "")
