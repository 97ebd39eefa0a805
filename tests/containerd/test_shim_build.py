"""The shim's build: the patch fits or nothing is built, and what comes out is as promised."""

import importlib.util
import pathlib
import subprocess
import tarfile
import types

import pytest

from tests.testbed import shims

_SCRIPT = pathlib.Path(__file__).parents[2] / "images" / "shim-wasmtime" / "build.py"


@pytest.fixture(scope="module")
def build() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("shim_build", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def built() -> pathlib.Path:
    if not shims.is_built():
        pytest.skip("the shim is not built yet: run `python -m tests.testbed build shims`")
    return shims.build()


def test_a_patch_that_does_not_fit_stops_the_build(
    build: types.ModuleType, tmp_path: pathlib.Path
) -> None:
    library = tmp_path / "containerd-shimkit-9.9.9"
    changed = library / "src" / "sandbox" / "shim" / "local.rs"
    changed.parent.mkdir(parents=True)
    changed.write_text("fn other() {}\n")

    with pytest.raises(build.BuildError, match="does not fit containerd-shimkit: if that release"):
        build._apply(build.PATCH, library)

    assert changed.read_text() == "fn other() {}\n"


def test_a_patch_of_nothing_stops_the_build(
    build: types.ModuleType, tmp_path: pathlib.Path
) -> None:
    patch = tmp_path / "empty.patch"
    patch.write_text("only words\n")

    with pytest.raises(build.BuildError):
        build._apply(patch, tmp_path)


def test_only_the_library_leaves_its_registry(build: types.ModuleType) -> None:
    def entry(name: str, *lines: str) -> str:
        return "\n".join(["[[package]]", f'name = "{name}"', 'version = "1.0.0"', *lines, ""])

    pinned = ('source = "registry+x"', 'checksum = "y"')
    lock = entry("a", *pinned) + entry("lib", *pinned, "dependencies = []")

    changed = build._unregistered(lock, "lib")

    assert changed == entry("a", *pinned) + entry("lib", "dependencies = []")


def test_a_library_from_elsewhere_is_refused(build: types.ModuleType) -> None:
    with pytest.raises(build.BuildError, match="found 0"):
        build._unregistered('name = "lib"\nversion = "1.0.0"\n', "lib")


def test_an_archive_has_the_same_bytes_each_time(build: types.ModuleType) -> None:
    assert build._archive(b"binary") == build._archive(b"binary")


@pytest.mark.parametrize(
    ("variant", "version", "revision"),
    [
        ("v0.1.0", "0.1.0", "+pids"),
        ("v0.2.0", "0.2.0", "+pids"),
        ("v0.1.0-nopids", "0.1.0", ""),
    ],
)
def test_each_variant_tells_its_version(
    built: pathlib.Path, *, variant: str, version: str, revision: str
) -> None:
    binary = built / variant / shims.BINARY

    said = subprocess.run([binary, "-v"], capture_output=True, text=True, check=True).stdout

    assert said.splitlines() == [
        "containerd-shim-wasmtime-v1:",
        "  Runtime: wasmtime",
        f"  Version: {version}",
        f"  Revision: containerd-shimkit-0.1.2{revision}",
        "",
    ]


def test_the_archive_holds_the_binary_alone(built: pathlib.Path) -> None:
    with tarfile.open(shims.archive("v0.1.0")) as archive:
        members = archive.getmembers()
        content = archive.extractfile(members[0])

        assert [(member.name, member.mode) for member in members] == [(f"./{shims.BINARY}", 0o755)]
        assert content is not None
        assert content.read() == shims.binary("v0.1.0").read_bytes()
    assert built.is_dir()


def test_the_binary_needs_no_library_beyond_glibc_and_libgcc(built: pathlib.Path) -> None:
    argv = ["readelf", "--dynamic", str(built / "v0.1.0" / shims.BINARY)]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    needed = {line.split("[")[1].rstrip("]") for line in said.splitlines() if "(NEEDED)" in line}
    assert {name.split(".so")[0] for name in needed} <= {
        "libc",
        "libm",
        "libgcc_s",
        "ld-linux-x86-64",
        "ld-linux-aarch64",
    }
