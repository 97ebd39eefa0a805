"""The store: what counts as there, what is fetched again, what is taken away."""

from __future__ import annotations

import json
import os

import pytest

from rcm_agent import errors
from rcm_agent.host import entries, store
from tests.fakes import web
from tests.host import beds, tars
from tests.host.test_elf import INTERP, LOADER, program

SHIM = beds.SHIM
NAME = "containerd-shim-spin-v2"


@pytest.fixture
def bed(tmp_path):
    with beds.opened(tmp_path) as made:
        yield made


@pytest.fixture
def stored(bed):
    bed.replies["/shim"] = web.content(SHIM)
    return bed.fetch()


def on_disk(bed, path):
    return bed.root / path.lstrip("/")


# --- what counts as there ---------------------------------------------------------------------


def test_an_entry_says_where_it_came_from_without_the_query(bed):
    bed.replies["/shim"] = web.content(SHIM)

    stored = bed.fetch(location=bed.url("/shim?token=hunter2"))

    meta = on_disk(bed, entries.directory(stored.digest)) / "meta.json"
    said = json.loads(meta.read_text())
    assert said["location"] == bed.url("/shim")
    assert said["size"] == len(SHIM)
    assert said["programs"][0]["sha256"] == beds.sha256(SHIM)


def test_what_is_there_is_verified_and_listed(bed, stored):
    assert store.verify(bed.kernel, stored.digest).stored == store.replace(stored, fetched_bytes=0)
    assert store.list(bed.kernel) == (store.Entry(stored.digest, (stored.path,)),)


@pytest.mark.usefixtures("stored")
def test_nothing_to_do_writes_nothing(bed):
    before = times(bed)

    bed.fetch()

    assert times(bed) == before


def times(bed):
    stats = ((path, path.lstat()) for path in bed.root.rglob("*"))
    return {path: (found.st_ino, found.st_mtime_ns, found.st_ctime_ns) for path, found in stats}


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    swap(path, bytes(data))


def swap(path, data):
    """Change a file as a bad disk would: no open file or running program sees it."""
    mode = path.stat().st_mode
    path.unlink()
    path.write_bytes(data)
    path.chmod(mode)


DAMAGE = [
    pytest.param(lambda shim, _: flip(shim), "does not have the bytes", id="bit flip"),
    pytest.param(lambda shim, _: swap(shim, SHIM[:-1]), "not the file", id="shorter"),
    pytest.param(lambda shim, _: shim.unlink(), "is missing", id="deleted"),
    pytest.param(lambda shim, _: shim.chmod(0o4755), "mode 4755", id="setuid"),
    pytest.param(lambda shim, _: shim.chmod(0o644), "mode 644", id="not executable"),
    pytest.param(lambda shim, _: os.chown(shim, 1, 1), "owner 1:1", id="another owner"),
    pytest.param(lambda _, meta: meta.unlink(), "is not in the store", id="no meta.json"),
    pytest.param(lambda _, meta: swap(meta, b"{"), "is not in the store", id="torn meta.json"),
    pytest.param(lambda _, meta: swap(meta, b"[]"), "is not in the store", id="other JSON"),
    pytest.param(lambda _, meta: flip_name(meta), "is not in the store", id="name leads outside"),
]


def flip_name(meta):
    swap(meta, meta.read_bytes().replace(b'"name": "shim"', b'"name": "../x"'))


@pytest.mark.parametrize(("damage", "words"), DAMAGE)
def test_a_damaged_entry_is_told_and_fetched_again(bed, stored, damage, words):
    shim = on_disk(bed, stored.path)
    damage(shim, shim.with_name("meta.json"))

    assert words in store.verify(bed.kernel, stored.digest).problem
    again = bed.fetch()
    assert again.fetched_bytes == len(SHIM)
    assert bed.content(again) == SHIM
    assert store.verify(bed.kernel, stored.digest).problem == ""


def test_a_running_shim_keeps_its_inode(bed, stored):
    shim = on_disk(bed, stored.path)
    flip(shim)
    with shim.open("rb") as running:
        wrong = running.read()
        bed.fetch()

        running.seek(0)
        assert running.read() == wrong
        assert os.fstat(running.fileno()).st_ino != shim.stat().st_ino


def test_a_link_in_place_of_the_shim_is_replaced_not_followed(bed, stored):
    shim = on_disk(bed, stored.path)
    shim.unlink()
    (bed.root / "victim").write_bytes(b"mine")
    shim.symlink_to("/victim")

    bed.fetch()

    assert not shim.is_symlink()
    assert (bed.root / "victim").read_bytes() == b"mine"


def test_damage_stays_when_it_cannot_be_fetched_again(bed, stored):
    flip(on_disk(bed, stored.path))
    bed.replies["/shim"] = web.status(404)

    bed.refused("404")


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("digest", ["../../etc", "0" * 63, "A" * 64, "", "0" * 64 + "/.."])
def test_what_is_no_digest_is_never_a_path(bed, digest):
    before = bed.tree()

    assert "is not in the store" in store.verify(bed.kernel, digest).problem
    assert not store.remove(bed.kernel, digest)
    assert bed.tree() == before


# --- one artifact, several programs -----------------------------------------------------------


def archived(bed):
    archive = tars.tar(
        tars.entry("a/tool", SHIM + b"a"), tars.entry("b/tool", SHIM + b"b"), tars.entry(NAME, SHIM)
    )
    (bed.root / "artifact").write_bytes(archive)
    return {"data": archive, "location": "file:///artifact"}


def test_programs_of_one_artifact_live_side_by_side(bed):
    how = archived(bed)

    first, second, third = (bed.fetch(**how, binary=b) for b in ("a/tool", "b/tool", None))

    assert len({first.path, second.path, third.path}) == 3
    assert bed.content(first) == SHIM + b"a"
    assert bed.content(second) == SHIM + b"b"
    assert bed.content(third) == SHIM
    for stored, binary in ((first, "a/tool"), (second, "./b/tool"), (third, None)):
        assert bed.fetch(**how, binary=binary) == store.replace(stored, fetched_bytes=0)


def test_repairing_one_program_keeps_the_others(bed):
    how = archived(bed)
    first = bed.fetch(**how, binary="a/tool")
    third = bed.fetch(**how)
    flip(on_disk(bed, first.path))

    bed.fetch(**how, binary="a/tool")

    assert store.verify(bed.kernel, first.digest, binary="a/tool").stored is not None
    assert store.verify(bed.kernel, third.digest, machine="amd64").stored is not None


def test_the_same_digest_from_elsewhere_is_there_already(bed, stored):
    bed.replies.clear()

    assert bed.fetch(location=bed.url("/other-name")).path == stored.path


@pytest.mark.usefixtures("stored")
def test_an_entry_of_another_machine_does_not_count(bed):
    bed.refused("is for amd64, and this host is arm64", machine="arm64")


# --- files of the host, interpreters ----------------------------------------------------------


def test_a_file_of_the_host_is_copied(bed):
    (bed.root / "shims").mkdir()
    (bed.root / "shims/my shim").write_bytes(SHIM)

    stored = bed.fetch(location="file:///shims/my%20shim")

    assert bed.content(stored) == SHIM
    assert (bed.root / "shims/my shim").read_bytes() == SHIM
    assert stored.path.endswith("/shim")


def test_a_link_in_the_host_is_followed_inside_the_host(bed):
    (bed.root / "real").write_bytes(SHIM)
    (bed.root / "link").symlink_to("/real")

    assert bed.content(bed.fetch(location="file:///link")) == SHIM


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda _: None, "No such file", id="missing"),
        pytest.param(lambda path: path.mkdir(), "directory|regular", id="directory"),
        pytest.param(os.mkfifo, "not a regular file", id="fifo"),
        pytest.param(lambda path: path.symlink_to("/nowhere"), "No such file", id="dangling"),
        pytest.param(lambda path: path.symlink_to(path.name), "symbolic links", id="loop"),
        pytest.param(lambda path: path.write_bytes(b"x"), "brings sha256", id="wrong digest"),
        pytest.param(lambda path: path.write_bytes(SHIM * 3), "more than the", id="too large"),
    ],
)
def test_what_is_no_good_file_is_refused(bed, make, words):
    make(bed.root / "file")

    bed.refused(words, location="file:///file", max_bytes=2 * len(SHIM))


def test_a_missing_interpreter_is_named(bed):
    data = program((INTERP, LOADER))
    (bed.root / "file").write_bytes(data)

    bed.refused("needs /lib64/ld-linux-x86-64.so.2", data=data, location="file:///file")


def test_an_interpreter_of_the_host_will_do(bed):
    data = program((INTERP, LOADER))
    (bed.root / "file").write_bytes(data)
    (bed.root / "usr/lib64").mkdir(parents=True)
    (bed.root / "lib64").symlink_to("usr/lib64")
    (bed.root / "usr/lib64/ld-linux-x86-64.so.2").write_bytes(b"loader")

    assert bed.content(bed.fetch(data, location="file:///file")) == data


# --- what a source may say --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("", "is empty"),
        ("https://h/" + "x" * 5000, "longer than"),
        ("https://", "names no host"),
        ("/etc/passwd", "the scheme ''"),
        ("ftp://h/x", "the scheme 'ftp'"),
        ("javascript:alert(1)", "the scheme 'javascript'"),
        ("oci://registry.example/shim:1", "oci:// reference"),
        ("https://user:hunter2@h/x", "user name or a password"),
        ("https://user@h/x", "user name or a password"),
        ("https://h\\@evil.example/x", "characters"),
        ("https://h/a b", "characters"),
        ("https://h/\nHost: evil", "characters"),
        ("https://hé/x", "characters"),
        ("https://h:99999/x", "is not a URL"),
        ("https://[::1/x", "is not a URL"),
        ("file://other/x", "of another host"),
        ("file:x", "without an absolute path"),
        ("file:///a%00b", "without an absolute path"),
    ],
)
def test_a_wrong_location_is_refused_without_showing_secrets(bed, location, words):
    error = bed.refused(words, location=location, sha=beds.sha256(SHIM))

    assert "hunter2" not in error.cause + error.advice


@pytest.mark.parametrize("sha", ["0" * 63, "0" * 65, "A" * 64, "g" * 64, "sha256:" + "0" * 64, "é"])
def test_a_wrong_sha256_is_refused(bed, sha):
    bed.refused("not 64 lower-case hex digits", sha=sha)


# --- taking away ------------------------------------------------------------------------------


def test_removal_leaves_no_trace(bed):
    before = bed.tree()
    bed.replies["/shim"] = web.content(SHIM)
    stored = bed.fetch()

    assert store.remove(bed.kernel, stored.digest)
    assert not store.remove(bed.kernel, stored.digest)
    store.remove_rest(bed.kernel)

    assert set(bed.tree()) == {*before, "opt/rcm"}


def test_removal_takes_half_done_downloads_too(bed):
    bed.replies["/shim"] = web.cut(SHIM, upto=100)
    with pytest.raises(errors.FetchError):
        bed.fetch(attempts=1)

    store.remove_rest(bed.kernel)

    assert not (bed.root / beds.STORE).exists()


def test_an_incomplete_entry_is_listed_and_removed(bed, stored):
    on_disk(bed, stored.path).with_name("meta.json").unlink()

    assert store.list(bed.kernel) == (store.Entry(stored.digest, ()),)
    assert store.remove(bed.kernel, stored.digest)
    assert store.list(bed.kernel) == ()
