"""Archives: which member is taken, and every hostile one of `faults.md` D.

All come as `file://` of the host, digest given: nothing but the archive is at fault.
"""

from __future__ import annotations

import io
import lzma
import os
import tarfile

import pytest
import zstandard

from tests.fakes import shims
from tests.host import beds, tars

SHIM = beds.SHIM
NAME = "containerd-shim-spin-v2"
TEXT = b"hello\n"


@pytest.fixture
def bed(tmp_path):
    with beds.opened(tmp_path) as made:
        yield made


def put(bed, data, name="artifact"):
    (bed.root / name).write_bytes(data)
    return {"data": data, "location": f"file:///{name}"}


# --- what is taken ----------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [lambda data: data, tars.gz, tars.xz, tars.zst])
def test_the_format_is_told_by_content(bed, pack):
    stored = bed.fetch(**put(bed, pack(tars.tar(tars.entry(NAME, SHIM))), "misnamed.zip"))

    assert bed.content(stored) == SHIM
    assert stored.path.endswith(f"/{NAME}")
    assert stored.size == len(SHIM)
    assert stored.binary_sha256 == beds.sha256(SHIM)


@pytest.mark.parametrize("style", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
def test_what_common_writers_make_is_read(bed, style, long):
    name = f"./{'d' * 90}/{'e' * 20}/{NAME}" if long else f"./{NAME}"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=style) as file:
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(SHIM), 0o755
        file.addfile(info, io.BytesIO(SHIM))

    assert bed.content(bed.fetch(**put(bed, buffer.getvalue()))) == SHIM


def test_what_runwasi_publishes_is_read(bed):
    archive = tars.tar(
        tars.entry("./", kind=b"5"),
        tars.entry(f"./{NAME}", SHIM),
        tars.entry(f"./{NAME}.sig", b"MEUC", mode=0o644),
        tars.entry(f"./{NAME}.pem", b"LS0t", mode=0o644),
    )

    assert bed.content(bed.fetch(**put(bed, tars.gz(archive)))) == SHIM


def two(first="a", second="b", **how):
    return tars.tar(tars.entry(first, SHIM, **how), tars.entry(second, SHIM + b"2", **how))


@pytest.mark.parametrize(
    ("archive", "binary", "taken"),
    [
        pytest.param(
            tars.tar(tars.entry("README", TEXT, mode=0o644), tars.entry("x", SHIM)),
            None,
            "x",
            id="the only executable",
        ),
        pytest.param(
            two("tool", NAME), None, NAME, id="of several executables the one named like a shim"
        ),
        pytest.param(
            two("README", NAME, mode=0o644), None, NAME, id="no mode, but named like a shim"
        ),
        pytest.param(two("a", "b"), "b", "b", id="the one asked for"),
        pytest.param(two("d/a", "./d/b"), "./d/b", "b", id="the one asked for, written ./"),
        pytest.param(two("d/a", "d/b"), "d//b", "b", id="the one asked for, slashes doubled"),
        pytest.param(two("a", "b", mode=0o644), "b", "b", id="asked for, without a mode"),
    ],
)
def test_one_member_is_chosen(bed, archive, binary, taken):
    stored = bed.fetch(**put(bed, archive), binary=binary)

    assert stored.path.rpartition("/")[2] == taken
    assert {path.name for path in bed.beside(stored)} == {taken, "meta.json"}


@pytest.mark.parametrize(
    ("archive", "binary", "words"),
    [
        pytest.param(two("a", "b"), None, "more than one program: 'a', 'b'", id="two executables"),
        pytest.param(two(NAME, NAME + "2"), None, "more than one program", id="two shims"),
        pytest.param(tars.tar(tars.entry("x", TEXT, mode=0o644)), None, "no executable", id="none"),
        pytest.param(tars.gz(tars.tar()), None, "no executable", id="empty archive"),
        pytest.param(two("a", "b"), "c", "no member 'c'; it has 'a', 'b'", id="not there"),
        pytest.param(two("a", "b"), "../a", "not the name of", id="asked for outside"),
        pytest.param(two("a", "b"), "/a", "not the name of", id="asked for absolute"),
        pytest.param(two("a", "b"), "a\nb", "not the name of", id="asked for with a newline"),
        pytest.param(two("a", "b"), "meta.json", "not the name of", id="asked for our own file"),
    ],
)
def test_no_guess_is_made(bed, archive, binary, words):
    bed.refused(words, **put(bed, archive), binary=binary)


def test_setuid_bits_do_not_survive(bed):
    stored = bed.fetch(**put(bed, tars.tar(tars.entry(NAME, SHIM, mode=0o6777))))

    found = bed.kernel.lstat(stored.path)
    assert (found.mode, found.uid, found.gid) == (0o755, 0, 0)


# --- what is refused --------------------------------------------------------------------------

GOOD = tars.entry(NAME, SHIM)

HOSTILE = [
    pytest.param(tars.tar(tars.entry("../x", SHIM)), "leads out of it", id="parent"),
    pytest.param(tars.tar(GOOD, tars.entry("a/../../x", TEXT)), "leads out", id="parent beside"),
    pytest.param(tars.tar(tars.entry("/etc/cron.d/x", SHIM)), "absolute name", id="absolute"),
    pytest.param(
        tars.tar(tars.entry(NAME, kind=b"2", link="/etc/shadow")), "no executable", id="only a link"
    ),
    pytest.param(
        tars.tar(tars.entry(NAME, kind=b"2", link="/etc/passwd"), GOOD),
        "is a symbolic link",
        id="symlink, then written through",
    ),
    pytest.param(
        tars.tar(GOOD, tars.entry(NAME, kind=b"1", link="etc/passwd")),
        "twice",
        id="hard link after",
    ),
    pytest.param(
        tars.tar(tars.entry(NAME, kind=b"1", link="../etc/passwd"), GOOD),
        "is a hard link",
        id="hard link before",
    ),
    pytest.param(tars.tar(GOOD, tars.entry("null", kind=b"3")), "holds a device", id="char device"),
    pytest.param(tars.tar(GOOD, tars.entry("sda", kind=b"4")), "holds a device", id="block device"),
    pytest.param(tars.tar(tars.entry("p", kind=b"6"), GOOD), "holds a fifo", id="fifo"),
    pytest.param(
        tars.tar(tars.entry(NAME, SHIM, kind=b"S")), "holds a sparse file", id="GNU sparse"
    ),
    pytest.param(
        tars.tar(tars.pax({"GNU.sparse.major": "1", "GNU.sparse.size": "1099511627776"}), GOOD),
        "holds a sparse file",
        id="PAX sparse 1 TB",
    ),
    pytest.param(
        tars.tar(tars.entry(NAME, SHIM, size=2**40)),
        "a file of 1099511627776 bytes",
        id="says 1 TB",
    ),
    pytest.param(tars.tar(GOOD, GOOD), "more than one program", id="duplicate, chosen by itself"),
    pytest.param(
        tars.tar(GOOD, tars.entry(f"./{NAME}", TEXT, mode=0o644)), "twice", id="duplicate as text"
    ),
    pytest.param(
        tars.tar(tars.pax({"path": "../../etc/x"}), GOOD), "another name", id="PAX override"
    ),
    pytest.param(
        tars.tar(tars.pax({"path": "../" * 40 + "etc/x"}), GOOD),
        "leads out",
        id="long PAX override",
    ),
    pytest.param(tars.tar(tars.pax({"size": "8"}), GOOD), "another size", id="PAX size override"),
    pytest.param(
        tars.tar(tars.pax({"path": NAME}, kind=b"g"), GOOD), "all entries", id="PAX for all"
    ),
    pytest.param(
        tars.tar(tars.pax({"path": "b\0x" + "y" * 100}), GOOD), "control characters", id="NUL"
    ),
    pytest.param(tars.tar(tars.entry("a\nb", SHIM)), "control characters", id="newline"),
    pytest.param(
        tars.tar(tars.gnu_name("n" * 256), GOOD), "more than 255 bytes", id="name of 256 bytes"
    ),
    pytest.param(
        tars.tar(tars.entry("L", kind=b"L", size=2**33), GOOD),
        "record of 8589934592",
        id="long name",
    ),
    pytest.param(
        tars.tar(tars.entry("x", kind=b"x", size=2**33), GOOD),
        "record of 8589934592",
        id="long PAX",
    ),
    pytest.param(
        tars.tar(tars.entry("x", b"99 path=a\n", kind=b"x"), GOOD), "broken PAX", id="broken PAX"
    ),
    pytest.param(
        tars.tar(tars.entry("x", b"0 a=b\n", kind=b"x"), GOOD), "broken PAX", id="PAX length 0"
    ),
    pytest.param(tars.tar(tars.entry("v", kind=b"V"), GOOD), "of the type", id="unknown type"),
    pytest.param(
        tars.tar(GOOD)[:148] + b"000000\0 " + tars.tar(GOOD)[156:], "wrong checksum", id="checksum"
    ),
    pytest.param(
        tars.tar(GOOD, tars.entry("n", TEXT, size=2**87)), "says it holds", id="huge size"
    ),
    pytest.param(GOOD[:1000], "ends within", id="cut off in the member"),
    pytest.param(GOOD + GOOD[:100], "ends within a header", id="cut off in a header"),
    pytest.param(tars.gz(tars.tar(GOOD))[:-4], "is broken", id="gzip cut off"),
    pytest.param(tars.gz(tars.tar(GOOD))[:-8] + b"\0" * 8, "is broken", id="gzip checksum"),
    pytest.param(tars.xz(tars.tar(GOOD))[:-4], "is broken", id="xz cut off"),
    pytest.param(tars.gz(tars.tar(GOOD)) + b"junk", "is broken", id="junk after gzip"),
    pytest.param(
        tars.gz(tars.tar(tars.entry(NAME, bytes(3_000_000)))), "100 times", id="gzip bomb"
    ),
    pytest.param(tars.xz(tars.tar(tars.entry(NAME, bytes(3_000_000)))), "100 times", id="xz bomb"),
    pytest.param(
        tars.zst(tars.tar(tars.entry(NAME, bytes(3_000_000)))), "100 times", id="zstd bomb"
    ),
    pytest.param(
        tars.gz(tars.tar(GOOD) + bytes(3_000_000)), "100 times", id="bomb behind the archive's end"
    ),
    pytest.param(
        tars.tar(tars.entry(NAME, tars.gz(tars.tar(GOOD)))), "content is gzip data", id="nested"
    ),
    pytest.param(tars.gz(tars.gz(tars.tar(GOOD))), "header", id="packed twice"),
    pytest.param(tars.gz(SHIM), "ends within|checksum|number", id="packed, no archive"),
    pytest.param(tars.tar(tars.entry(NAME)), "content is empty", id="empty member"),
    pytest.param(
        tars.tar(tars.entry(NAME, b"#!/bin/sh\nexec x\n")), "content is a script", id="script"
    ),
    pytest.param(tars.tar(tars.entry(NAME, TEXT)), "content is unknown", id="text"),
    pytest.param(
        tars.tar(tars.entry(NAME, shims.binary(architecture="arm64"))),
        "is for arm64, and this host is amd64",
        id="wrong machine",
    ),
    pytest.param(tars.zip_of(SHIM), "content is zip data", id="zip"),
    pytest.param(tars.bz(tars.tar(GOOD)), "content is bzip2 data", id="bzip2"),
    pytest.param(b"", "content is empty", id="empty file"),
    pytest.param(b"<html>404</html>", "an HTML page", id="HTML page"),
    pytest.param(b"\x1f\x8b", "is broken", id="two bytes of gzip"),
]


@pytest.mark.parametrize(("archive", "words"), HOSTILE)
def test_a_hostile_archive_is_refused(bed, archive, words):
    bed.refused(words, **put(bed, archive))


def test_a_million_entries_are_not_read(bed):
    archive = tars.gz(tars.entry("x", mode=0o644) * 20_000)

    bed.refused("more than 10000 entries|100 times", **put(bed, archive))
    bed.refused("more than 10 entries", **put(bed, tars.tar(GOOD * 11)), max_entries=10)


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        pytest.param([tars.entry(NAME, os.urandom(50_000))], "says it holds", id="one member"),
        pytest.param(
            [GOOD, tars.entry("x", os.urandom(20_000), mode=0o644) * 3], "40000", id="together"
        ),
    ],
)
def test_the_cap_on_unpacked_bytes_holds(bed, archive, words):
    archive = tars.gz(tars.tar(*archive))

    bed.refused(words, **put(bed, archive), max_unpacked_bytes=40_000)


def test_xz_that_needs_much_memory_is_refused(bed):
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9}]
    archive = lzma.compress(tars.tar(GOOD), filters=filters)

    bed.refused("is broken: Memory usage limit", **put(bed, archive))


def test_zstd_with_a_large_window_is_refused(bed):
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    archive = packer.compress(tars.tar(GOOD)) + packer.flush()

    bed.refused("is broken", **put(bed, archive))


@pytest.mark.parametrize("pack", [tars.gz, tars.xz, tars.zst])
def test_several_streams_in_a_row_are_one(bed, pack):
    archive = tars.tar(GOOD)

    assert bed.content(bed.fetch(**put(bed, pack(archive[:700]) + pack(archive[700:])))) == SHIM


@pytest.mark.parametrize(
    "beside",
    [
        pytest.param(tars.entry("current", kind=b"2", link="/etc/shadow"), id="link"),
        pytest.param(tars.entry("copy", kind=b"1", link=NAME), id="hard link"),
        pytest.param(tars.entry("LIESMICH-äöü", TEXT, mode=0o644), id="unicode"),
        pytest.param(tars.entry(b"latin-\xe4", TEXT, mode=0o644), id="no unicode"),
        pytest.param(tars.entry("dir/", kind=b"0", magic=b"\0" * 8), id="old directory"),
        pytest.param(tars.pax({"comment": "git"}, kind=b"g"), id="git's comment"),
        pytest.param(tars.entry("n" * 100, TEXT, mode=0o644), id="name that fills its field"),
    ],
)
def test_what_lies_beside_is_ignored(bed, beside):
    stored = bed.fetch(**put(bed, tars.gz(tars.tar(beside, GOOD))))

    assert bed.content(stored) == SHIM
    assert len(bed.beside(stored)) == 2


@pytest.mark.parametrize("name", ["shím", "a b", "-rf", "meta.json", "x" * 200, "$(x)"])
def test_a_name_unfit_for_a_file_is_replaced(bed, name):
    stored = bed.fetch(**put(bed, tars.tar(tars.gnu_name(name), tars.entry("x", SHIM))))

    assert stored.path.endswith("/shim")
    assert bed.content(stored) == SHIM


@pytest.mark.parametrize("archive", [param.values[0] for param in HOSTILE])
def test_nothing_is_parsed_before_the_digest_is_right(bed, archive):
    bed.refused("brings sha256", **put(bed, archive), sha="0" * 64)
