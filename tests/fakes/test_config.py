"""The simulated containerd reads configurations as real ones were seen to do."""

from __future__ import annotations

import tomllib

import pytest

from tests.fakes import config, disk, schema, toml

ROOT = "/etc/containerd/config.toml"
RELEASES = {"1.7": (1, 7, 24), "2.1": (2, 1, 9), "2.3": (2, 3, 4)}
OLD = f'plugins."{schema.OLD}"'
NEW = f'plugins."{schema.RUNTIME}"'


def verdict(release: str, files: dict[str, str]) -> str:
    host = disk.Disk()
    for path, text in files.items():
        host.put(path, text.encode())
    try:
        loaded = config.load(host, ROOT, RELEASES[release])
    except config.Unreadable:
        return "DEAD"
    assert tomllib.loads(toml.dumps(loaded.dump()))["plugins"] == loaded.plugins
    if loaded.cri_error:
        return "CRI"
    if "spin" not in loaded.runtimes:
        return "no"
    kept = loaded.runtimes["runc"]["options"].get("SystemdCgroup")
    return "ok" if kept else "LOST"


def spin(version: int, table: str) -> str:
    head = f"version = {version}\n" if version else ""
    return f'{head}[{table}.containerd.runtimes.spin]\nruntime_type = "io.containerd.spin.v2"\n'


def root(version: int, table: str) -> str:
    return f"""version = {version}
imports = ["/etc/conf.d/*.toml"]
[{table}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{table}.containerd.runtimes.runc.options]
SystemdCgroup = true
"""


# facts/containerd §1.3, the rows of roots with imports
IMPORTED = [
    ("v2", root(2, OLD), (0, OLD), ("CRI", "ok", "ok")),
    ("v2", root(2, OLD), (2, OLD), ("CRI", "ok", "ok")),
    ("v2", root(2, OLD), (0, NEW), ("no", "LOST", "ok")),
    ("v2", root(2, OLD), (2, NEW), ("no", "LOST", "ok")),
    ("v2", root(2, OLD), (3, NEW), ("DEAD", "LOST", "DEAD")),
    ("v2", root(2, OLD), (3, OLD), ("DEAD", "no", "DEAD")),
    ("v3", root(3, NEW), (0, NEW), ("DEAD", "ok", "ok")),
    ("v3", root(3, NEW), (3, NEW), ("DEAD", "ok", "ok")),
    ("v3", root(3, NEW), (2, OLD), ("DEAD", "no", "ok")),
    ("v3", root(3, NEW), (4, NEW), ("DEAD", "DEAD", "DEAD")),
    ("AKS", root(2, NEW), (0, NEW), ("no", "ok", "ok")),
    ("AKS", root(2, NEW), (0, OLD), ("CRI", "no", "ok")),
    ("AKS", root(2, NEW), (3, NEW), ("DEAD", "ok", "DEAD")),
    ("v4", root(4, NEW), (0, NEW), ("DEAD", "DEAD", "ok")),
]


@pytest.mark.parametrize(
    ("text", "drop_in", "expected"),
    [pytest.param(*row[1:], id=f"{row[0]} imports {row[2]}") for row in IMPORTED],
)
def test_imports_merge_as_in_the_lab(text, drop_in, expected):
    found = [verdict(r, {ROOT: text, "/etc/conf.d/rcm.toml": spin(*drop_in)}) for r in RELEASES]

    assert tuple(found) == expected


ALONE = [
    ((2, OLD), ("CRI", "LOST", "LOST")),
    ((2, NEW), ("no", "LOST", "LOST")),
    ((3, OLD), ("DEAD", "no", "LOST")),
    ((3, NEW), ("DEAD", "LOST", "LOST")),
    ((4, OLD), ("DEAD", "DEAD", "no")),
    ((4, NEW), ("DEAD", "DEAD", "LOST")),
    ((0, OLD), ("no", "no", "LOST")),
]


@pytest.mark.parametrize(("table", "expected"), ALONE)
def test_one_file_takes_effect_as_in_the_lab(table, expected):
    found = tuple(verdict(release, {ROOT: spin(*table)}) for release in RELEASES)

    assert found == expected


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({ROOT: "version = 2\nversion = 2\n"}, "DEAD", id="broken TOML"),
        pytest.param({ROOT: 'imports = ["/absent.toml"]'}, "DEAD", id="explicit import is missing"),
        pytest.param({ROOT: 'imports = ["/absent/*.toml"]'}, "no", id="glob without match"),
        pytest.param({ROOT: 'imports = ["/etc/containerd/*.toml"]'}, "no", id="imports itself"),
        pytest.param({ROOT: 'imports = ["d/*.toml"]', "/etc/containerd/d/.x.toml": "="}, "DEAD", id="dotfile"),
        pytest.param({ROOT: 'imports = ["/d/*.toml"]', "/d/x.toml/y": ""}, "DEAD", id="directory"),
        pytest.param({ROOT: 'disabled_plugins = ["cri"]'}, "CRI", id="CRI disabled"),
        pytest.param({ROOT: "oom_score = 'x'"}, "DEAD", id="wrong type"),
        pytest.param({}, "no", id="no file"),
    ],
)  # fmt: skip
def test_files_are_read_as_containerd_reads_them(release, files, expected):
    assert verdict(release, files) == expected
