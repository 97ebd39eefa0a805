"""What `ports.Kernel` promises, on the real kernel and on the simulated one."""

from __future__ import annotations

import errno
import os

import pytest

from rcm_agent import ports
from tests.fakes import place as places


@pytest.fixture(params=["real", "fake"])
def place(request, tmp_path):
    return places.make(request.param, tmp_path)


@pytest.fixture
def kernel(place):
    return place.kernel


def test_nothing_is_there_at_first(kernel):
    assert kernel.lstat("/absent") is None
    assert kernel.lstat("/absent/below") is None
    assert kernel.listdir("/") == ()


def test_a_created_file_holds_what_was_written(kernel):
    handle = kernel.create("/file", 0o600)
    kernel.write(handle, b"first ")
    kernel.write(handle, memoryview(b"second"))
    kernel.fchmod(handle, 0o755)
    kernel.fchown(handle, os.getuid(), os.getgid())
    kernel.fsync(handle)
    kernel.close(handle)

    assert kernel.read("/file") == b"first second"
    assert kernel.lstat("/file") == ports.Stat("file", 0o755, os.getuid(), os.getgid(), 12, 1)


def test_a_new_file_has_the_mode_asked_for(kernel):
    kernel.close(kernel.create("/file", 0o600))

    assert kernel.lstat("/file").mode == 0o600


def test_appending_adds_to_the_end(place, kernel):
    place.put("/file", b"one")
    handle = kernel.append("/file")
    kernel.write(handle, b" two")
    kernel.write(handle, b"")
    kernel.close(handle)

    assert kernel.read("/file") == b"one two"


def test_a_directory_has_exactly_its_mode(kernel):
    kernel.mkdir("/dir", 0o777)

    found = kernel.lstat("/dir")
    assert (found.kind, found.mode) == ("dir", 0o777)
    assert kernel.listdir("/") == ("dir",)


def test_present_paths_are_told_and_links_are_not_followed(place, kernel):
    place.put("/file")
    kernel.symlink("/nowhere", "/link")

    assert kernel.present(["/file", "/link", "/absent", "/file/below"]) == {"/file", "/link"}
    assert kernel.present([]) == set()


def test_names_are_sorted(place, kernel):
    for name in "cab":
        place.put(f"/{name}")

    assert kernel.listdir("/") == ("a", "b", "c")


def test_lstat_does_not_follow_the_last_link_but_all_others(place, kernel):
    kernel.mkdir("/dir", 0o755)
    kernel.symlink("/dir", "/absolute")
    kernel.symlink("dir", "/relative")
    place.put("/dir/file", b"x")

    assert kernel.lstat("/absolute").kind == "link"
    assert kernel.lstat("/absolute/file").kind == "file"
    assert kernel.lstat("/relative/file").size == 1
    assert kernel.readlink("/relative") == "dir"
    assert kernel.listdir("/relative") == ("file",)
    assert kernel.read("/absolute/file") == b"x"


def test_nothing_is_below_a_file(place, kernel):
    place.put("/file")

    assert kernel.lstat("/file/below") is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/a/link/c", "/a/b/c", id="absolute link"),
        pytest.param("/a/up", "/a/b", id="relative link"),
        pytest.param("/a/absent/c", "/a/absent/c", id="missing parts are kept"),
        pytest.param("/a/b/../x", "/a/x", id="up"),
        pytest.param("/../../a", "/a", id="above the root"),
        pytest.param("/dangling", "/nowhere", id="dangling link"),
        pytest.param("/chain", "/a/b", id="link to a link"),
        pytest.param("/", "/", id="root"),
    ],
)
def test_realpath(kernel, path, expected):
    kernel.mkdir("/a", 0o755)
    kernel.mkdir("/a/b", 0o755)
    kernel.symlink("/a/b", "/a/link")
    kernel.symlink("../a/./b", "/a/up")
    kernel.symlink("/nowhere", "/dangling")
    kernel.symlink("a/link", "/chain")

    assert kernel.realpath(path) == expected


def test_a_link_in_a_circle_is_an_error(kernel):
    kernel.symlink("/b", "/a")
    kernel.symlink("/a", "/b")

    with pytest.raises(OSError, match="Errno") as caught:
        kernel.realpath("/a")
    assert caught.value.errno == errno.ELOOP


def test_rename_replaces_in_one_step(place, kernel):
    place.put("/old", b"old")
    place.put("/new", b"new", 0o600)
    kernel.rename("/new", "/old")

    assert kernel.read("/old") == b"new"
    assert kernel.lstat("/old").mode == 0o600
    assert kernel.listdir("/") == ("old",)


def test_rename_replaces_a_link_not_its_target(place, kernel):
    place.put("/target", b"target")
    kernel.symlink("target", "/link")
    place.put("/new", b"new")
    kernel.rename("/new", "/link")

    assert kernel.lstat("/link").kind == "file"
    assert kernel.read("/target") == b"target"


def test_rename_moves_a_directory_over_an_empty_one(place, kernel):
    kernel.mkdir("/new", 0o755)
    place.put("/new/file", b"x")
    kernel.mkdir("/old", 0o755)
    kernel.rename("/new", "/old")

    assert kernel.read("/old/file") == b"x"
    assert kernel.lstat("/new") is None


def test_rename_of_a_file_onto_its_other_name_changes_nothing(place, kernel):
    place.put("/one", b"x")
    place.hard_link("/one", "/two")
    kernel.rename("/one", "/two")

    assert kernel.listdir("/") == ("one", "two")
    assert kernel.lstat("/one").links == 2


def test_an_open_file_stays_when_its_name_goes(place, kernel):
    handle = kernel.create("/file", 0o600)
    kernel.unlink("/file")
    place.put("/file", b"other")
    kernel.write(handle, b"lost")
    kernel.fsync(handle)
    kernel.close(handle)

    assert kernel.read("/file") == b"other"


def test_links_are_counted(place, kernel):
    place.put("/one", b"x")
    place.hard_link("/one", "/two")

    assert kernel.lstat("/one").links == 2
    kernel.unlink("/two")
    assert kernel.lstat("/one").links == 1


def test_a_lock_is_held_by_one_until_closed(kernel):
    first = kernel.lock("/lock")

    assert first is not None
    assert kernel.lock("/lock") is None
    kernel.close(first)
    second = kernel.lock("/lock")
    assert second is not None
    kernel.close(second)


def test_a_lock_file_that_was_replaced_is_another_lock(kernel):
    first = kernel.lock("/lock")
    kernel.unlink("/lock")
    second = kernel.lock("/lock")

    assert second is not None
    kernel.close(first)
    kernel.close(second)


def test_directories_can_be_made_durable(kernel):
    kernel.mkdir("/dir", 0o755)
    kernel.fsync_dir("/dir")
    kernel.fsync_dir("/")


REFUSED = [
    ("read nothing", lambda k: k.read("/absent"), errno.ENOENT),
    ("read a directory", lambda k: k.read("/dir"), errno.EISDIR),
    ("read a dangling link", lambda k: k.read("/dangling"), errno.ENOENT),
    ("read below a file", lambda k: k.read("/file/below"), errno.ENOTDIR),
    ("list nothing", lambda k: k.listdir("/absent"), errno.ENOENT),
    ("list a file", lambda k: k.listdir("/file"), errno.ENOTDIR),
    ("readlink of a file", lambda k: k.readlink("/file"), errno.EINVAL),
    ("readlink of nothing", lambda k: k.readlink("/absent"), errno.ENOENT),
    ("mkdir again", lambda k: k.mkdir("/dir", 0o755), errno.EEXIST),
    ("mkdir on a dangling link", lambda k: k.mkdir("/dangling", 0o755), errno.EEXIST),
    ("mkdir below nothing", lambda k: k.mkdir("/absent/dir", 0o755), errno.ENOENT),
    ("mkdir below a file", lambda k: k.mkdir("/file/dir", 0o755), errno.ENOTDIR),
    ("create again", lambda k: k.create("/file", 0o600), errno.EEXIST),
    ("create on a dangling link", lambda k: k.create("/dangling", 0o600), errno.EEXIST),
    ("create below nothing", lambda k: k.create("/absent/x", 0o600), errno.ENOENT),
    ("append to nothing", lambda k: k.append("/absent"), errno.ENOENT),
    ("append to a link", lambda k: k.append("/link"), errno.ELOOP),
    ("append to a directory", lambda k: k.append("/dir"), errno.EISDIR),
    ("write to no handle", lambda k: k.write(999, b"x"), errno.EBADF),
    ("fsync of no handle", lambda k: k.fsync(999), errno.EBADF),
    ("close of no handle", lambda k: k.close(999), errno.EBADF),
    ("rename nothing", lambda k: k.rename("/absent", "/x"), errno.ENOENT),
    ("rename to below nothing", lambda k: k.rename("/file", "/absent/x"), errno.ENOENT),
    ("rename a file onto a directory", lambda k: k.rename("/file", "/dir"), errno.EISDIR),
    ("rename a directory onto a file", lambda k: k.rename("/dir", "/file"), errno.ENOTDIR),
    ("rename onto a full directory", lambda k: k.rename("/dir", "/full"), errno.ENOTEMPTY),
    ("rename into itself", lambda k: k.rename("/full", "/full/sub/x"), errno.EINVAL),
    ("symlink again", lambda k: k.symlink("x", "/link"), errno.EEXIST),
    ("symlink below nothing", lambda k: k.symlink("x", "/absent/x"), errno.ENOENT),
    ("unlink nothing", lambda k: k.unlink("/absent"), errno.ENOENT),
    ("unlink a directory", lambda k: k.unlink("/dir"), errno.EISDIR),
    ("rmdir nothing", lambda k: k.rmdir("/absent"), errno.ENOENT),
    ("rmdir a file", lambda k: k.rmdir("/file"), errno.ENOTDIR),
    ("rmdir a full directory", lambda k: k.rmdir("/full"), errno.ENOTEMPTY),
    ("rmdir a link to a directory", lambda k: k.rmdir("/dirlink"), errno.ENOTDIR),
    ("fsync_dir of nothing", lambda k: k.fsync_dir("/absent"), errno.ENOENT),
    ("fsync_dir of a file", lambda k: k.fsync_dir("/file"), errno.ENOTDIR),
    ("lock a link", lambda k: k.lock("/link"), errno.ELOOP),
    ("lock a directory", lambda k: k.lock("/dir"), errno.EISDIR),
    ("lock below nothing", lambda k: k.lock("/absent/lock"), errno.ENOENT),
]


@pytest.mark.parametrize(
    ("call", "number"), [pytest.param(call, number, id=name) for name, call, number in REFUSED]
)
def test_a_refused_call_has_the_error_of_linux_and_changes_nothing(place, kernel, call, number):
    place.put("/file", b"file")
    kernel.mkdir("/dir", 0o755)
    kernel.mkdir("/full", 0o755)
    kernel.mkdir("/full/sub", 0o755)
    kernel.symlink("file", "/link")
    kernel.symlink("dir", "/dirlink")
    kernel.symlink("/nowhere", "/dangling")
    before = kernel.listdir("/")

    with pytest.raises(OSError, match="Errno") as caught:
        call(kernel)

    assert errno.errorcode[caught.value.errno] == errno.errorcode[number]
    assert kernel.listdir("/") == before
    assert kernel.read("/file") == b"file"


def test_a_handle_closed_once_is_gone(kernel):
    handle = kernel.create("/file", 0o600)
    kernel.close(handle)

    with pytest.raises(OSError, match="Errno"):
        kernel.write(handle, b"x")
