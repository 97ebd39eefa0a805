"""Things fail, one at a time or for good: a typed error, the old state, every container alive."""

from __future__ import annotations

import errno

import pytest

from rcm_agent import errors, settings
from tests.crash import scenes
from tests.fakes import daemon, invariants
from tests.fakes.daemon import Quirk
from tests.fakes.faults import Fail, Fault, Refuse
from tests.fakes.host import CONFIG

pytestmark = pytest.mark.timeout(120)
everywhere = pytest.mark.parametrize("scene", scenes.SCENES, indirect=True)
on_both = pytest.mark.parametrize("version", scenes.CONFIGS)
LONG_S = 300
HEALED_S = 75
"""30 s that the agent waits for containerd, twice, and some: the former state within 60 s of
the failure."""

ERRNOS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE)
STRIDE = 3
"""A disk that is full from here on is much as one that is full from the next call on."""
NOT_RUN = "/[!r]*"
"""Paths on disk: a full or broken disk leaves the tmpfs of /run alone."""


def run(scene, host, *faults: Fault) -> Exception | None:
    """Let the scene's command run into faults; what it ended with."""
    host.faults = list(faults)
    try:
        scene.again(host.ports)
    except (errors.AgentError, pytest.fail.Exception) as error:
        return error
    finally:
        host.kill()
        host.faults = []
    return None


def wrong(scene, host, *, restarts: int | None = 2) -> list[str]:
    """Say what is wrong: at once when the switch had time, and after a recovery."""
    host.pass_time(LONG_S)
    found = scene.broken(host, restarts=restarts)
    return found + scene.unfinished(host)


def effects(scene) -> list[str]:
    host = scene.host.fork()
    scene.act(host.ports)
    return [effect.name for effect in host.effects]


@everywhere
def test_one_failed_call_on_files_ends_on_a_good_state(scene):
    found = []
    for number, name in enumerate(effects(scene), start=1):
        if name.startswith("kernel."):
            host = scene.host.fork()
            code = ERRNOS[number % len(ERRNOS)]
            run(scene, host, Fault(Fail(code), at=number))
            label = f"{errno.errorcode[code]} at {number} {name}"
            found += [f"{label}: {text}" for text in wrong(scene, host)]

    assert found == []


@everywhere
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
def test_a_disk_that_takes_nothing_any_more_leaves_a_good_state(scene, code):
    found = []
    calls = "kernel.[cwms]*" if code == errno.ENOSPC else "kernel.*"
    for number, name in enumerate(effects(scene), start=1):
        if name.startswith("kernel.") and number % STRIDE == code % STRIDE:
            host = scene.host.fork()
            run(scene, host, Fault(Fail(code), at=number, on=calls, path=NOT_RUN, stays=True))
            found += [f"since {number} {name}: {text}" for text in wrong(scene, host)]

    assert found == []


@on_both
def test_without_room_for_the_former_bytes_their_effect_comes_back_at_once(version):
    """The disk of the configuration is full at any point, and stays so until somebody makes room."""
    scene = scenes.get(scenes.first, version)
    found, late = [], 0
    for number, path in enumerate(_paths(scene), start=1):
        if not path.startswith("/etc/"):
            continue
        host = scene.host.fork()
        full = Fault(Fail(errno.ENOSPC), at=number, on="kernel.[cmw]*", path="/etc/*", stays=True)
        ended = run(scene, host, full)
        if ended is None:
            continue  # nothing needed room any more
        if type(ended) is not errors.RolledBack:
            found.append(f"at {number}: {type(ended).__name__}: {ended}")
        found += [f"at {number}: {text}" for text in scene.broken(host, restarts=2)]
        found += [f"at {number}: {text}" for text in invariants.leftovers(host)]
        if scenes.pending(host):
            late += 1
            again = run(scene, host, Fault(Fail(errno.ENOSPC), nth=0, on=full.on, path=full.path))
            if type(again) is not errors.HostError or not scenes.pending(host):
                found.append(f"at {number}: a later run does not wait for room: {again}")
        found += [f"at {number}, with room: {text}" for text in scene.unfinished(host)]
        if host.disk.get(CONFIG) != scenes.CONFIGS[version]:
            found.append(f"at {number}: the bytes are not the former ones")

    assert found == []
    assert late > 0


def _paths(scene) -> list[str]:
    host = scene.host.fork()
    scene.act(host.ports)
    return [effect.path for effect in host.effects]


@everywhere
@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES], ids=errno.errorcode.get)
def test_a_file_that_cannot_be_read_leaves_a_good_state(scene, code):
    found = []
    number = 0
    while True:
        number += 1
        host = scene.host.fork()
        fault = Fault(Fail(code), on="kernel.read", nth=number)
        run(scene, host, fault)
        if fault.seen < number:
            break
        found += [f"read {number}: {text}" for text in wrong(scene, host)]

    assert found == []
    assert number > 10


@everywhere
@pytest.mark.parametrize("stays", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("door", ["systemd", "containerd"])
def test_a_door_that_fails_leaves_a_good_state(scene, door, when, stays):
    """`before`: refused; `after`: done, and the reply is lost."""
    found = []
    number = 0
    while True:
        number += 1
        host = scene.host.fork()
        fault = Fault(Refuse("gone"), on=f"{door}.[!c]*", nth=number, when=when, stays=stays)
        run(scene, host, fault)
        if fault.seen < number:
            break
        found += [f"call {number}: {text}" for text in wrong(scene, host, restarts=3)]

    assert found == []
    assert number > 3


@on_both
@pytest.mark.parametrize(
    "what", ["exit", "hang", "slow", "cri-dead", "no-handler", "not-ready", "mute"]
)
def test_a_containerd_that_does_not_take_us_is_put_back(version, what):
    scene = scenes.get(scenes.first, version)
    host = scene.host.fork()
    host.daemon.quirks.append(Quirk(what))
    began = host.clock.now
    ended = run(scene, host)

    assert type(ended) is errors.RolledBack, ended
    assert host.clock.now - began < HEALED_S
    assert scene.broken(host, restarts=2) == []
    assert invariants.serves(host) == scenes.NONE
    assert invariants.leftovers(host) == []


@on_both
def test_a_containerd_that_waits_for_a_shim_cut_off_is_helped(version):
    scene = scenes.get(scenes.first, version)
    host = scene.host.fork()
    host.daemon.quirks.append(Quirk("unheard", only_with_ours=False))

    assert not isinstance(run(scene, host), errors.AgentError)
    assert scene.broken(host, restarts=1) == []


@on_both
@pytest.mark.parametrize("what", ["exit", "hang", "slow", "cri-dead", "not-ready", "mute"])
def test_a_host_whose_agent_is_gone_is_put_back_by_the_switch(version, what):
    scene = scenes.get(scenes.first, version)
    found = []
    for point in _points_with(scene, Quirk(what)):
        host = point.host
        host.pass_time(LONG_S)
        found += [f"{point.label}: {text}" for text in scene.broken(host)]

    assert found == []


def _points_with(scene, quirk):
    host = scene.host.fork()
    host.daemon.quirks.append(quirk)
    with pytest.raises(errors.RolledBack):
        yield from scenes.explore.points(host, scene.again)


@on_both
def test_a_containerd_that_never_comes_back_is_told(version):
    scene = scenes.get(scenes.first, version)
    host = scene.host.fork()
    host.daemon.quirks.append(Quirk("exit", only_with_ours=False))

    assert type(run(scene, host)) is errors.Degraded


@on_both
@pytest.mark.parametrize("kind", ["CRASH", "HANG", "BAD"])
def test_a_shim_that_does_not_work_is_put_back(version, kind):
    scene = scenes.get(scenes.first, version)
    host = scene.host.fork()
    data = scenes.binaries.binary(kind, "v1")
    host.disk.put(scenes.place(scenes.GOOD_1), data)
    shim = scenes.manifest(scenes.GOOD_1, sha256=scenes.hashlib.sha256(data).hexdigest())
    with pytest.raises((errors.RolledBack, errors.AgentError)), scenes.opened(host.ports) as work:
        scenes.apply.apply(work, [shim])
    host.kill()
    before = scene.before()
    sha = {scenes.hashlib.sha256(data).hexdigest()}

    assert invariants.broken(host, before, good=[{}], verified=sha, restarts=2) == []
    assert invariants.leftovers(host) == []
    assert host.disk.get("/opt/rcm/journal.json") is None


@on_both
def test_without_a_sandbox_image_it_is_not_proven_and_no_failure(version):
    scene = scenes.get(scenes.first, version)
    host = scene.host.fork()
    host.daemon.images.clear()

    assert run(scene, host) is None
    assert scene.broken(host) == []


@on_both
def test_two_agents_exclude_each_other(version):
    host = scenes.bare(version).fork()
    with scenes.opened(host.ports), pytest.raises(errors.Busy):
        scenes.install(scenes.GOOD_1)(host.agent())


@on_both
def test_running_containers_that_would_be_lost_block_the_restart(version):
    scene = scenes.get(scenes.first, version)
    host = scene.host.fork()
    host.daemon.add(daemon.Task("wasm", name="default/wasm/app", pids=False))
    before = dict(host.disk.tree("/etc"))
    ended = run(scene, host)

    assert type(ended) is errors.Blocked
    assert "default/wasm/app" in str(ended)
    assert dict(host.disk.tree("/etc")) == before
    assert [path for path, _ in host.disk.tree("/opt/rcm/store")] == []
    assert set(host.daemon.tasks) == {"web", "wasm"}


@on_both
def test_with_leave_they_are_stopped_cleanly(version, monkeypatch):
    scene = scenes.get(scenes.first, version)
    host = scene.host.fork()
    host.daemon.add(daemon.Task("wasm", name="default/wasm/app", pids=False))
    monkeypatch.setattr(scenes, "CHOSEN", settings.Settings(allow_disruption=True))

    assert run(scene, host) is None
    assert host.daemon.stopped[0] == "wasm"
    assert host.daemon.leaked == {}
    assert scene.broken(host) == []
