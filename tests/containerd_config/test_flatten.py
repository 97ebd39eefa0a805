"""Copies that mean what the files mean, at other paths."""

import pytest

from rcm_agent import errors
from rcm_agent.containerd import flatten, imports, toml
from tests.containerd_config import corpus, memory


def load_order(root: str, copies) -> list[bytes]:
    """What containerd would load, in order, given only the copies."""
    found = imports.walk(
        root, copies[root], load=lambda path: copies[path], expand=lambda _pattern: ()
    )
    return [data for _, data in found]


def test_imports_become_names_in_load_order() -> None:
    files = memory.Files(corpus.files("imports-multi-line"))

    root, copies = flatten.flatten(files.tree(), {}, "/scratch")

    assert root == "/scratch/0-config.toml"
    assert toml.parse(copies[root])["imports"] == [
        "/scratch/1-site.toml",
        "/scratch/2-.hidden.toml",
    ]
    assert [toml.parse(x).get("oom_score") for x in load_order(root, copies)] == [-500, None]


def test_nothing_else_changes() -> None:
    for name in corpus.pure():
        files = memory.Files(corpus.files(name))
        tree = files.tree()

        _, copies = flatten.flatten(tree, {}, "/s")

        root = flatten.NO_ROOT if tree.root is None else tree.root
        originals = [root, *(source.data for source in tree.imports)]
        for copy, original in zip(copies.values(), originals, strict=True):
            rest = {k: v for k, v in toml.parse(copy).items() if k != "imports"}
            assert {k: v for k, v in toml.parse(original).items() if k != "imports"} == rest


def test_changes_take_effect_where_they_are_imported() -> None:
    files = memory.Files({memory.ROOT: b"imports = ['/run/rcm/*.toml']\n"})
    changes = {"/run/rcm/b.toml": b"b = 1", "/run/rcm/a.toml": b"a = 1", "/run/x.toml": b"["}

    root, copies = flatten.flatten(files.tree(), changes, "/s")

    assert load_order(root, copies) == [b"a = 1", b"b = 1"]


def test_a_file_that_is_taken_away_is_not_imported() -> None:
    files = memory.Files(
        {memory.ROOT: b"imports = ['d/*.toml']\n", "/etc/containerd/d/a.toml": b""}
    )

    root, copies = flatten.flatten(files.tree(), {"/etc/containerd/d/a.toml": None}, "/s")

    assert {root} == set(copies)


def test_a_file_that_is_imported_by_name_must_stay() -> None:
    files = memory.Files({memory.ROOT: b"imports = ['a.toml']\n", "/etc/containerd/a.toml": b""})

    with pytest.raises(errors.ConfigRefused, match="would not be there"):
        flatten.flatten(files.tree(), {"/etc/containerd/a.toml": None}, "/s")


def test_no_root_stands_for_the_defaults() -> None:
    root, copies = flatten.flatten(memory.Files().tree(), {}, "/s")

    assert {root: b"version = 2\n"} == copies


def test_files_of_ours_that_nothing_imports_come_in_with_the_import() -> None:
    """The root was written anew without our import, and our drop-in is still there."""
    files = memory.Files({memory.ROOT: b"", "/etc/containerd/rcm.d/rcm.toml": b"a = 1"})
    changes = {memory.ROOT: b"imports = ['rcm.d/*.toml']"}

    assert len(flatten.flatten(files.tree(), changes, "/s")[1]) == 2


def test_a_byte_order_mark_stays_in_front() -> None:
    data = b"\xef\xbb\xbf[debug]\n"
    files = memory.Files({memory.ROOT: data})
    assert data == flatten.flatten(files.tree(), {}, "/s")[1]["/s/0-config.toml"]
