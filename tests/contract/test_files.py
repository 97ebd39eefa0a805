"""What `rcm_agent.host.files` promises, on the real kernel and on the simulated one."""

from __future__ import annotations

import pytest

from rcm_agent import errors
from rcm_agent.host import files
from tests.fakes import place as places

PATH = "/etc/config.toml"


@pytest.fixture(params=["real", "fake"])
def place(request, tmp_path):
    return places.make(request.param, tmp_path)


@pytest.fixture
def kernel(place):
    return place.kernel


@pytest.fixture(autouse=True)
def _directory(kernel):
    kernel.mkdir("/etc", 0o755)


def test_a_new_file_is_written_with_its_mode(kernel):
    assert files.replace(kernel, PATH, b"new", expected=None, mode=0o640)

    assert files.read(kernel, PATH) == b"new"
    assert kernel.lstat(PATH).mode == 0o640
    assert kernel.listdir("/etc") == ("config.toml",)


def test_the_same_content_is_not_written_again(place, kernel):
    place.put(PATH, b"same", 0o600)

    assert not files.replace(kernel, PATH, b"same", expected=b"whatever")
    assert kernel.lstat(PATH).mode == 0o600


def test_mode_of_an_existing_file_is_kept(place, kernel):
    place.put(PATH, b"old", 0o604)

    assert files.replace(kernel, PATH, b"new", expected=b"old", mode=0o644)
    assert kernel.lstat(PATH).mode == 0o604


def test_a_symbolic_link_is_kept_and_its_target_replaced(place, kernel):
    kernel.mkdir("/real", 0o755)
    place.put("/real/config.toml", b"old")
    kernel.symlink("../real/config.toml", PATH)
    files.replace(kernel, PATH, b"new", expected=b"old")

    assert kernel.readlink(PATH) == "../real/config.toml"
    assert kernel.read("/real/config.toml") == b"new"
    assert kernel.listdir("/real") == ("config.toml",)


def test_a_change_by_somebody_else_is_a_conflict_and_stays(place, kernel):
    place.put(PATH, b"theirs")

    with pytest.raises(errors.Conflict):
        files.replace(kernel, PATH, b"new", expected=b"old")

    assert kernel.read(PATH) == b"theirs"
    assert kernel.listdir("/etc") == ("config.toml",)


def test_a_file_that_appeared_is_a_conflict(place, kernel):
    place.put(PATH, b"theirs")

    with pytest.raises(errors.Conflict):
        files.replace(kernel, PATH, b"new", expected=None)


def test_a_leftover_of_a_killed_run_is_no_hindrance(place, kernel):
    place.put(PATH + files.TEMPORARY, b"half")
    files.replace(kernel, PATH, b"new", expected=None)

    assert kernel.listdir("/etc") == ("config.toml",)


@pytest.mark.parametrize("what", ["directory", "dangling link"])
def test_what_is_no_file_is_refused(kernel, what):
    if what == "directory":
        kernel.mkdir(PATH, 0o755)
    else:
        kernel.symlink("/nowhere", PATH)

    with pytest.raises(errors.HostError):
        files.replace(kernel, PATH, b"new", expected=None)
    with pytest.raises(errors.HostError):
        files.read(kernel, PATH)


def test_a_missing_directory_is_a_host_error(kernel):
    with pytest.raises(errors.HostError):
        files.replace(kernel, "/absent/file", b"new", expected=None)


def test_directories_are_made_with_their_parents(kernel):
    files.make_directory(kernel, "/opt/rcm/store", mode=0o700)
    files.make_directory(kernel, "/opt/rcm/store")

    assert kernel.lstat("/opt/rcm/store").mode == 0o700
    assert kernel.lstat("/opt/rcm").mode == 0o755


def test_a_directory_that_another_makes_meanwhile_will_do(kernel, monkeypatch):
    files.make_directory(kernel, "/opt/rcm")
    with monkeypatch.context() as patch:
        patch.setattr(kernel, "lstat", lambda _path: None)
        files.make_directory(kernel, "/opt/rcm")

    assert kernel.lstat("/opt/rcm").kind == "dir"


def test_only_an_empty_directory_is_removed(kernel):
    kernel.mkdir("/etc/sub", 0o755)

    assert not files.remove_directory(kernel, "/etc")
    assert not files.remove_directory(kernel, "/absent")
    assert files.remove_directory(kernel, "/etc/sub")
    assert kernel.listdir("/etc") == ()


def test_removing_nothing_is_told(place, kernel):
    place.put(PATH, b"x")

    assert files.remove(kernel, PATH)
    assert not files.remove(kernel, PATH)


def test_a_link_is_swapped_in_one_step(kernel):
    assert files.swap_link(kernel, "/etc/link", "one")
    assert files.swap_link(kernel, "/etc/link", "two")
    assert not files.swap_link(kernel, "/etc/link", "two")

    assert files.read_link(kernel, "/etc/link") == "two"
    assert kernel.listdir("/etc") == ("link",)


def test_a_file_is_never_swapped_for_a_link(place, kernel):
    place.put(PATH, b"theirs")

    with pytest.raises(errors.HostError):
        files.swap_link(kernel, PATH, "ours")
    assert files.read_link(kernel, PATH) is None
    assert kernel.read(PATH) == b"theirs"
