"""Real containerd binaries on starting configurations, and on what happens to files later."""

import pytest
import tomlkit

from rcm_agent import errors
from rcm_agent.containerd import dialect, flatten, judge, model
from tests import matrix
from tests.containerd_config import corpus, memory
from tests.testbed import containerd

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]
ROOT = memory.ROOT
NEW = tuple(v for v in matrix.VERSIONS if v >= "2")
OLD = tuple(v for v in matrix.VERSIONS if v < "2")


def versions(names=matrix.VERSIONS):
    """Every version; those that are not built yet are skipped with that reason."""
    return pytest.mark.parametrize(
        "version",
        [
            pytest.param(
                name,
                marks=pytest.mark.skipif(
                    not containerd.is_built(name),
                    reason=f"containerd {containerd.VERSIONS[name].version} is not built",
                ),
            )
            for name in names
        ],
    )


@pytest.fixture
def bench(version, tmp_path):
    def make(files) -> matrix.Bench:
        if isinstance(files, str):
            files = corpus.files(files, version)
        return matrix.Bench(version, memory.Files(files), tmp_path)

    return make


def runtimes(dump) -> set[str]:
    return set(dialect.effective(dump)["runtimes"])


@versions()
@pytest.mark.parametrize("configuration", corpus.names())
def test_matrix(version, configuration, tmp_path) -> None:
    cell = matrix.cell(version, configuration, tmp_path)

    told = {n: t for n, t in cell.columns.items() if t not in {matrix.YES, matrix.NOT_TRIED}}
    assert told == {}
    assert cell.good


@versions()
def test_no_file_means_what_stands_for_it(version, bench) -> None:
    default = judge.parse(corpus.default(version))

    assert judge.differences(default, bench({}).dump({}), runtimes=()) == ()
    assert flatten.NO_ROOT == b"version = 2\n"


@versions()
def test_the_guide_s_own_handler_is_refused(bench) -> None:
    spin = model.Runtime("spin", "/opt/rcm/bin/x")

    with pytest.raises(errors.ConfigRefused, match="has a runtime 'spin' already"):
        bench("spinkube-guide").apply((spin,))


@versions()
@pytest.mark.parametrize("configuration", ["kind", "no-file", "spinkube-guide"])
def test_options_may_change_and_go(configuration, bench) -> None:
    node = bench(configuration)
    node.apply((matrix.FIRST,))

    for options in ({"SystemdCgroup": False, "n": 3}, {}, {"s": 'a "quoted"\n]'}):
        changed = model.Runtime("rcm-spin", "/opt/rcm/bin/y", options)
        node.apply((changed,))

        assert (
            judge.differences(
                node.dump({}), node.dump({}), runtimes=(changed,), removed=("rcm-spin",)
            )
            == ()
        )


@versions(NEW)
def test_a_block_from_1_7_stays_and_later_becomes_a_drop_in(version, bench) -> None:
    node = bench("implicit-runc")
    node.version = "1.7"
    start = dict(node.files)
    node.apply((matrix.FIRST,))

    node.version = version
    kept = node.choose((matrix.FIRST,))
    moved = node.apply((matrix.FIRST, matrix.SECOND))

    assert kept.strategy == "unchanged"
    assert moved.strategy == "drop-in"
    assert runtimes(node.dump({})) == {"runc", "rcm-spin", "rcm-wasmtime"}
    node.apply(())
    assert node.files == start


@versions()
def test_a_root_written_anew_is_repaired(version, bench) -> None:
    """nodeadm renders config.toml at every boot."""
    configuration = "eks-1.7" if version in OLD else "eks-2"
    node = bench(configuration)
    start = dict(node.files)
    node.apply((matrix.FIRST,))
    node.files[ROOT] = start[ROOT]
    node.handlers = ()

    node.apply((matrix.FIRST,))

    assert "rcm-spin" in runtimes(node.dump({}))
    node.apply(())
    assert node.files == start


@versions()
@pytest.mark.parametrize("configuration", ["kind", "default", "spinkube-guide", "nvidia-drop-in"])
def test_a_tool_may_write_the_files_anew_without_comments(configuration, bench) -> None:
    """nvidia-ctk reads a file, adds its runtime, and writes what it read, comments gone."""
    node = bench(configuration)
    before = node.dump({})
    node.apply((matrix.FIRST,))
    for path, data in node.files.items():
        if path in {ROOT, "/etc/containerd/conf.d/99-nvidia.toml"}:
            node.files[path] = tomlkit.dumps(tomlkit.parse(data).unwrap()).encode()

    again = node.choose((matrix.FIRST,))
    node.apply(())

    assert again.final == {}
    assert judge.differences(before, node.dump({}), runtimes=()) == ()
    assert not any(b"rcm" in data for data in node.files.values())


@versions()
@pytest.mark.parametrize("configuration", ["kind", "no-file", "empty", "eks-2", "spinkube-guide"])
def test_what_others_add_meanwhile_survives_removal(version, configuration, bench) -> None:
    if version == "1.7" and configuration == "eks-2":
        pytest.skip("containerd 1.7 does not read version 3")
    node = bench(configuration)
    plain = bench({ROOT: b"version = 3\n" if version in NEW else b"version = 2\n", **node.files})
    edit = b'\n[debug]\n  level = "warn" # mine\n'
    node.apply((matrix.FIRST,))

    node.files[ROOT] = node.files.get(ROOT, b"") + edit
    plain.files[ROOT] += edit
    node.apply((matrix.FIRST, matrix.SECOND))
    node.apply(())

    assert judge.differences(plain.dump({}), node.dump({}), runtimes=()) == ()
    assert edit in node.files[ROOT]
    assert not any(b"BEGIN" in data for data in node.files.values())


@versions(OLD)
def test_an_import_behind_ours_that_replaces_cri_is_refused(bench) -> None:
    """1.x takes the last table whole, and the imports of imports are loaded after ours."""
    table = corpus.files("kind")[ROOT]
    node = bench(
        {
            ROOT: b"version = 2\nimports = ['/etc/containerd/a.toml']\n",
            "/etc/containerd/a.toml": b"version = 2\nimports = ['/etc/containerd/b.toml']\n",
            "/etc/containerd/b.toml": table,
        }
    )

    with pytest.raises(errors.ConfigRefused, match="rcm-spin does not take effect"):
        node.apply((matrix.FIRST,))


@versions(NEW)
def test_a_dump_is_silent_about_a_missing_import(version, bench, tmp_path) -> None:
    """That is why reading the tree refuses it: containerd itself would not start."""
    root = tmp_path / "config.toml"
    root.write_text("version = 2\nimports = ['/nowhere.toml']\n")

    assert judge.parse(matrix.run_dump(version, str(root)))
    with pytest.raises(errors.ConfigRefused, match=r"/nowhere\.toml is imported"):
        bench({ROOT: root.read_bytes()}).dump({})


@versions()
def test_half_written_files_beside_ours_are_not_read(bench) -> None:
    if not matrix.can_unshare():
        pytest.skip("no mount namespaces here")
    node = bench("kind")
    node.apply((matrix.FIRST,))
    node.files["/etc/containerd/rcm.d/rcm.toml.rcm-tmp"] = b"[half"
    node.files["/run/rcm/rcm.toml.rcm-tmp"] = b"[half"
    edit = model.Edit("", (), {}, {}, {})

    assert matrix.real_paths(node, edit) == []


def test_the_table_tells_yes_from_no() -> None:
    good = matrix.Cell("2.3", "x", columns={"handler": "yes", "CRI": "-"})

    assert good.good
    assert matrix.Cell("2.3", "x", refused="why").good
    assert not matrix.Cell("2.3", "x", columns={"handler": "it does not"}).good
    assert not matrix.Cell("2.3", "x").good
