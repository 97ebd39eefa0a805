"""Reading: what is loaded, in what order, and what is refused with a file and a line."""

import pytest

from rcm_agent import errors
from rcm_agent.containerd import model
from tests.containerd_config import memory

ROOT = memory.ROOT


def read(files, **options) -> model.Tree:
    encoded = {p: d if isinstance(d, bytes) else d.encode() for p, d in files.items()}
    return memory.Files(encoded).tree(**options)


def paths(found: model.Tree) -> list[str]:
    return [source.path.removeprefix("/etc/containerd/") for source in found.imports]


def test_a_missing_root_is_no_file() -> None:
    assert read({}).root is None


def test_imports_are_loaded_level_by_level_in_the_order_of_the_list() -> None:
    found = read(
        {
            ROOT: 'imports = ["b.toml", "/etc/containerd/a.toml"]',
            "/etc/containerd/a.toml": 'imports = ["d.toml"]',
            "/etc/containerd/b.toml": 'imports = ["c.toml"]',
            "/etc/containerd/c.toml": "",
            "/etc/containerd/d.toml": "",
        }
    )

    assert paths(found) == ["b.toml", "a.toml", "c.toml", "d.toml"]


def test_matches_of_a_pattern_are_sorted_and_dot_files_count() -> None:
    found = read(
        {
            ROOT: 'imports = ["conf.d/*.toml"]',
            "/etc/containerd/conf.d/b.toml": "",
            "/etc/containerd/conf.d/.z.toml": "",
            "/etc/containerd/conf.d/a.toml": "",
            "/etc/containerd/conf.d/a.toml.rcm-tmp": "not [toml",
        }
    )

    assert paths(found) == ["conf.d/.z.toml", "conf.d/a.toml", "conf.d/b.toml"]


def test_patterns_in_directories_are_expanded_directory_by_directory() -> None:
    found = read(
        {
            ROOT: 'imports = ["*/x*.toml"]',
            "/etc/containerd/b/x1.toml": "",
            "/etc/containerd/a/x2.toml": "",
            "/etc/containerd/a-/x3.toml": "",
        }
    )

    assert paths(found) == ["a/x2.toml", "a-/x3.toml", "b/x1.toml"]


def test_a_circle_is_read_once() -> None:
    found = read(
        {
            ROOT: 'imports = ["a.toml", "./a.toml"]',
            "/etc/containerd/a.toml": 'imports = ["config.toml", "../containerd/a.toml"]',
        }
    )

    assert paths(found) == ["a.toml"]


def test_a_pattern_without_matches_is_fine() -> None:
    assert paths(read({ROOT: 'imports = ["/run/rcm/*.toml", "none/*/x.toml"]'})) == []


def test_imports_below_a_table_header_are_none() -> None:
    assert paths(read({ROOT: '[debug]\nimports = ["/nowhere.toml"]'})) == []


def test_files_of_ours_that_nothing_imports_are_told_apart() -> None:
    found = read(
        {
            ROOT: "version = 2",
            "/etc/containerd/rcm.d/rcm.toml": "",
            "/run/rcm/left.toml": "",
            "/etc/containerd/old.toml": "",
        },
        also=["/etc/containerd/old.toml", "/gone.toml"],
    )

    assert paths(found) == []
    assert [source.path for source in found.unused] == [
        "/etc/containerd/old.toml",
        "/etc/containerd/rcm.d/rcm.toml",
        "/run/rcm/left.toml",
    ]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        pytest.param({ROOT: "a = 1\nb = [\n"}, f"{ROOT}:3", id="not TOML, line"),
        pytest.param({ROOT: "a = 1\na = 2\n"}, f"{ROOT}:2", id="a key twice"),
        pytest.param({ROOT: b"a = 1\nb = '\xff'\n"}, f"{ROOT}:2: not UTF-8", id="not UTF-8"),
        pytest.param({ROOT: "a = 1\rb = 2"}, f"{ROOT}:1", id="a lone carriage return"),
        pytest.param({ROOT: 'imports = ["/x.toml"]'}, "/x.toml is imported", id="missing import"),
        pytest.param({ROOT: 'imports = "/x.toml"'}, "not a list", id="imports is a string"),
        pytest.param({ROOT: "imports = [1]"}, "not a list", id="imports holds a number"),
        pytest.param({ROOT: 'imports = ["[*"]'}, "malformed", id="malformed pattern"),
        pytest.param({ROOT + "/x": ""}, "Is a directory", id="the root is a directory"),
        pytest.param(
            {ROOT: 'imports = ["d/*.toml"]', "/etc/containerd/d/x.toml/y": ""},
            "d/x.toml: Is a directory",
            id="a directory matches",
        ),
        pytest.param(
            {ROOT: 'imports = ["a.toml"]', "/etc/containerd/a.toml": "\n\n["},
            "/etc/containerd/a.toml:3",
            id="broken import, its line",
        ),
        pytest.param({ROOT: "a=" + "[" * 5000}, ROOT, id="nested without end"),
    ],
)
def test_what_containerd_would_not_start_with_is_refused(files, words) -> None:
    with pytest.raises(errors.ConfigRefused) as refused:
        read(files)

    assert words in refused.value.cause
    assert refused.value.advice
    assert "\n" not in refused.value.cause + refused.value.advice


def test_a_relative_pattern_on_1_6_is_refused() -> None:
    files = {ROOT: 'imports = ["conf.d/*.toml"]'}

    with pytest.raises(errors.ConfigRefused, match="relative pattern"):
        read(files, release=(1, 6, 20))

    assert paths(read(files, release=(1, 7, 24))) == []
