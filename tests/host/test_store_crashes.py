"""The store when the disk refuses, the agent dies, or the power goes, at every single step.

On the simulated disk, from a file of the host: the steps after the download are what matters. What
must hold each time: nothing in the store is executable but the whole, checked program; what counts
as stored is right; running again ends well.
"""

from __future__ import annotations

import contextlib
import errno
import time

import pytest

from rcm_agent import errors
from rcm_agent.host import entries, partials, store, terms
from tests.fakes import faults, kernel, shims
from tests.host import beds, tars

# A second alone; on a busy machine ten times that.
pytestmark = pytest.mark.timeout(60)

SHIM = beds.SHIM
FLIPPED = b"\0" + SHIM[1:]
ARTIFACTS = {
    "bare": SHIM,
    "archive": tars.gz(tars.tar(tars.entry("README", b"x", mode=0o644), tars.entry("shim", SHIM))),
}
ERRNOS = [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO]


def host(data):
    """Return a simulated host that has the artifact."""
    made = kernel.FakeKernel()
    made.disk.makedirs("/opt")
    made.disk.put("/srv/shim", data)
    made.disk.settle()
    return made


def damaged(data):
    """Return a host whose entry has a flipped bit."""
    made = host(data)
    stored = ensure(made, data)
    made.disk.put(stored.path, FLIPPED, mode=0o755)
    made.disk.settle()
    return made


def ensure(door, data):
    return store.ensure(
        door,
        terms.Source(location="file:///srv/shim", sha256=beds.sha256(data)),
        machine="amd64",
        policy=terms.Policy(),
        timing=terms.Timing(clock=time.monotonic, wait=lambda _: None, jitter=lambda: 0.5),
        progress=lambda _: None,
        trust_on_first_use=False,
    )


def ends_well(door, data):
    try:
        ensure(door, data)
    except errors.FetchError:
        return False
    return True


def state(door):
    return {path: (inode.kind, inode.meta, inode.data) for path, inode in door.disk.tree()}


def assert_sound(door, data):
    """Check what must hold at any time, then that another run ends well."""
    for path, inode in door.disk.tree():
        runs = inode.kind == "file" and inode.mode & 0o111
        assert not runs or not path.startswith(entries.ROOT) or inode.data in {SHIM, FLIPPED}
        assert not runs or not path.startswith(partials.DIRECTORY) or inode.data == SHIM
    found = store.verify(door, beds.sha256(data), machine="amd64").stored
    assert found is None or door.read(found.path) == SHIM

    again = ensure(door, data)

    assert door.read(again.path) == SHIM
    assert door.lstat(again.path).mode == 0o755
    assert store.verify(door, again.digest).stored == store.replace(again, fetched_bytes=0)


CASES = [
    pytest.param(start, data, id=f"{name}, {what}")
    for name, data in ARTIFACTS.items()
    for what, start in (("first", host), ("repair", damaged))
]


def count_effects(start, data):
    door = kernel.FakeKernel(start(data).disk)
    ensure(door, data)
    return len(door.gate.effects)


@pytest.mark.parametrize("number", ERRNOS, ids=errno.errorcode.get)
@pytest.mark.parametrize(("start", "data"), CASES)
def test_a_refusing_disk_leaves_the_store_as_it_was(start, data, number):
    for at in range(1, count_effects(start, data) + 1):
        door = kernel.FakeKernel(start(data).disk)
        before = state(door)
        door.gate.faults.append(faults.Fault(faults.Fail(number), at=at))
        if not ends_well(door, data):
            after = state(door)
            assert after.keys() == before.keys()
            assert after == before or start is damaged
        door.gate.faults.clear()
        door.release()
        assert_sound(door, data)


@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.parametrize(("start", "data"), CASES)
def test_a_killed_agent_leaves_nothing_that_hurts(start, data, when):
    for at in range(1, count_effects(start, data) + 1):
        door = kernel.FakeKernel(start(data).disk)
        door.gate.faults.append(faults.Fault(faults.Kill(), at=at, when=when))
        with contextlib.suppress(faults.Killed):  # not every call has a middle
            ensure(door, data)
        door.release()
        assert_sound(kernel.FakeKernel(door.disk), data)


@pytest.mark.parametrize(("start", "data"), CASES)
def test_after_a_power_cut_the_store_is_old_or_new(start, data):
    for at in range(1, count_effects(start, data) + 1):
        door = kernel.FakeKernel(start(data).disk)
        door.gate.faults.append(faults.Fault(faults.Kill(), at=at, when="after"))
        with pytest.raises(faults.Killed):
            ensure(door, data)
        for rebooted in door.power_cuts():
            assert_sound(rebooted, data)


@pytest.mark.parametrize(("start", "data"), CASES)
def test_what_was_reported_survives_a_power_cut(start, data):
    door = start(data)
    stored = ensure(door, data)

    for rebooted in door.power_cuts():
        assert store.verify(rebooted, stored.digest).stored == store.replace(
            stored, fetched_bytes=0
        )


def test_a_removal_that_is_cut_short_is_finished_by_the_next():
    door = host(SHIM)
    stored = ensure(door, SHIM)
    door = kernel.FakeKernel(door.disk)
    store.remove(door, stored.digest)
    for at in range(1, len(door.gate.effects) + 1):
        door = host(SHIM)
        ensure(door, SHIM)
        door = kernel.FakeKernel(door.disk)
        door.gate.faults.append(faults.Fault(faults.Kill(), at=at, when="after"))
        with pytest.raises(faults.Killed):
            store.remove(door, stored.digest)
        for rebooted in door.power_cuts():
            found = store.verify(rebooted, stored.digest).stored
            assert found is None or rebooted.read(found.path) == SHIM
            store.remove(rebooted, stored.digest)
            assert store.list(rebooted) == ()


UNFIT = [
    pytest.param(shims.binary(architecture="arm64"), id="wrong machine"),
    pytest.param(b"#!/bin/sh\n", id="script"),
    pytest.param(tars.tar(tars.entry("shim", b"text")), id="text in an archive"),
    pytest.param(
        tars.tar(tars.entry("shim", shims.binary(architecture="arm64"), mode=0o4755)),
        id="setuid, wrong machine, in an archive",
    ),
]


@pytest.mark.parametrize("data", UNFIT)
def test_what_is_unfit_is_at_no_moment_executable(data):
    door = host(data)

    def watch(label):
        runs = [path for path, inode in door.disk.tree("/opt") if is_program(inode)]
        assert runs == [], label

    door.gate.watch = watch
    assert not ends_well(door, data)


@pytest.mark.parametrize("data", ARTIFACTS.values(), ids=ARTIFACTS)
def test_a_program_is_at_no_moment_executable_before_it_is_whole(data):
    door = host(data)

    def watch(label):
        runs = [inode.data for _, inode in door.disk.tree("/opt") if is_program(inode)]
        assert set(runs) <= {SHIM}, label

    door.gate.watch = watch
    assert ends_well(door, data)


def is_program(inode):
    return inode.kind == "file" and inode.mode & 0o111
