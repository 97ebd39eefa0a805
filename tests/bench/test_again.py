"""Which lines of strace count as a write to a file."""

import pytest

from tests.bench import again


@pytest.mark.parametrize(
    "line",
    [
        '812   write(4</opt/rcm/journal.json.rcm-tmp>, "{", 1) = 1',
        '812   rename("/opt/rcm/journal.json.rcm-tmp", "/opt/rcm/journal.json") = 0',
        '812   mkdir("/run/rcm/check", 0700) = 0',
        "7  fsync(4</opt/rcm>) = 0",
        '9  unlink("/run/rcm/rcm.toml") = 0',
        "9  <... rename resumed>) = 0",
    ],
)
def test_what_changes_a_file_counts(line):
    assert again._writes_a_file(line)


@pytest.mark.parametrize(
    "line",
    [
        '812   write(1<pipe:[1234]>, "shim/wasmtime ready", 19) = 19',
        '812   write(5<anon_inode:[eventfd]>, "\\1", 8) = 8',
        '812   write(1</dev/null>, "x", 1) = 1',
        '812   unlink("/run/nothing") = -1 ENOENT (No such file or directory)',
        "812   +++ exited with 0 +++",
    ],
)
def test_what_changes_none_does_not(line):
    assert not again._writes_a_file(line)
