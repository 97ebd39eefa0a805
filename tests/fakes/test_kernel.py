"""The simulated disk forgets what was not made durable, and nothing else."""

from __future__ import annotations

import errno

import pytest

from rcm_agent.host import files
from tests.fakes import faults, kernel


def saved(name: str, data: bytes = b"old") -> kernel.FakeKernel:
    made = kernel.FakeKernel()
    made.disk.put(name, data)
    made.disk.settle()
    return made


def after(made: kernel.FakeKernel, name: str) -> set[bytes | None]:
    return {cut.disk.get(name) for cut in made.power_cuts()}


def test_an_atomic_replacement_is_old_or_new_at_every_point():
    found: set[bytes | None] = set()
    host = saved("/etc/file")
    host.gate.watch = lambda _: found.update(after(host, "/etc/file"))
    files.replace(host, "/etc/file", b"new content", expected=b"old")

    assert found == {b"old", b"new content"}
    assert after(host, "/etc/file") == {b"new content"}


def test_a_rename_without_fsync_may_leave_an_empty_file():
    host = saved("/etc/file")
    handle = host.create("/etc/temporary", 0o600)
    host.write(handle, b"new!")
    host.close(handle)
    host.rename("/etc/temporary", "/etc/file")
    host.fsync_dir("/etc")

    assert after(host, "/etc/file") >= {b"", b"ne", b"new!"}


def test_a_rename_without_fsync_of_the_directory_may_not_have_happened():
    host = saved("/etc/file")
    handle = host.create("/etc/temporary", 0o600)
    host.write(handle, b"new")
    host.fsync(handle)
    host.close(handle)
    host.rename("/etc/temporary", "/etc/file")

    assert after(host, "/etc/file") == {b"old", b"new"}
    assert host.power_cut().disk.get("/etc/file") == b"old"


def test_a_new_directory_needs_its_parent_synced():
    host = kernel.FakeKernel()
    host.mkdir("/dir", 0o755)
    handle = host.create("/dir/file", 0o600)
    host.fsync(handle)
    host.close(handle)
    host.fsync_dir("/dir")

    assert host.power_cut().lstat("/dir") is None
    host.fsync_dir("/")
    assert host.power_cut().read("/dir/file") == b""


def test_a_failed_fsync_loses_the_data_for_good():
    host = saved("/etc/file")
    host.gate.faults.append(faults.Fault(faults.Fail(errno.EIO), on="kernel.fsync"))
    handle = host.append("/etc/file")
    host.write(handle, b" new")
    with pytest.raises(OSError, match="Errno"):
        host.fsync(handle)
    host.fsync(handle)

    assert host.power_cut().read("/etc/file") == b"old"


def test_a_removed_file_may_come_back_until_its_directory_is_synced():
    host = saved("/etc/file")
    host.unlink("/etc/file")

    assert after(host, "/etc/file") == {b"old", None}
    host.fsync_dir("/etc")
    assert after(host, "/etc/file") == {None}


def test_tmpfs_is_empty_after_a_power_cut_and_apart_from_the_disk():
    host = saved("/run/rcm/file")
    with pytest.raises(OSError, match="Errno") as caught:
        host.rename("/run/rcm/file", "/file")
    host = host.power_cut(1)

    assert caught.value.errno == errno.EXDEV
    assert host.listdir("/run") == ()


def test_locks_and_files_are_let_go_with_the_process():
    host = kernel.FakeKernel()
    other = kernel.FakeKernel(host.disk)
    assert host.lock("/run/lock") is not None
    assert other.lock("/run/lock") is None
    host.release()

    assert other.lock("/run/lock") is not None


def test_a_killed_agent_can_do_nothing_more():
    host = saved("/etc/file")
    host.gate.faults.append(faults.Fault(faults.Kill(), on="kernel.rename"))
    with pytest.raises(faults.Killed):
        files.replace(host, "/etc/file", b"new", expected=b"old")
    with pytest.raises(faults.Killed):
        host.read("/etc/file")

    assert host.disk.get("/etc/file") == b"old"
    assert host.disk.get("/etc/file" + files.TEMPORARY) == b"new"
