"""The supported containerd releases, and a build of each for this machine and for nodes.

Old releases are Debian's packages, later ones are built from their Go module: Debian's newer
suites move, a module version does not.
"""

import collections.abc
import dataclasses
import pathlib
import platform
import re
import shutil
import subprocess

from tests.testbed import cache, debian, errors

_MODULE = "github.com/containerd/containerd/v2"
PROGRAMS = ("containerd", "ctr", "containerd-shim-runc-v2")


@dataclasses.dataclass(frozen=True, slots=True)
class DebianPackage:
    """A release that Debian ships.

    Attributes:
        suite: The Debian release that has it.
    """

    suite: str


@dataclasses.dataclass(frozen=True, slots=True)
class GoModule:
    """A release that is built from its Go module."""


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """One containerd release that tests run on.

    Attributes:
        name: What tests call it: major and minor version.
        version: The exact release.
        config_version: The newest configuration version it reads.
        source: Where it comes from.
    """

    name: str
    version: str
    config_version: int
    source: DebianPackage | GoModule


# The Debian versions are those of the suites' stable releases; the module versions were the newest
# of their line in November 2026.
RELEASES = (
    Release("1.6", "1.6.20", 2, DebianPackage("bookworm")),
    Release("1.7", "1.7.24", 2, DebianPackage("trixie")),
    Release("2.1", "2.1.9", 3, GoModule()),
    Release("2.2", "2.2.9", 3, GoModule()),
    Release("2.3", "2.3.7", 4, GoModule()),
)
VERSIONS = {release.name: release for release in RELEASES}


def binary(version: str) -> pathlib.Path:
    """Return a directory with `containerd`, `ctr` and `containerd-shim-runc-v2`.

    They run on this machine too, for example `containerd -c FILE config dump`.

    Args:
        version: A name of `VERSIONS`, for example "1.7".

    Raises:
        BuildError: The release is not in the cache and cannot be built.
    """
    release = VERSIONS[version]
    return cache.entry(f"containerd-{release.version}", _inputs(release), _builder(release))


def is_built(version: str) -> bool:
    """Tell whether `binary(version)` would return at once."""
    release = VERSIONS[version]
    return cache.path(f"containerd-{release.version}", _inputs(release)).is_dir()


def key(version: str) -> str:
    """Return the hash of what the build is made from."""
    return cache.key(_inputs(VERSIONS[version]))


def _inputs(release: Release) -> dict[str, str | bytes]:
    return {
        "release": repr(release),
        "machine": platform.machine(),
        **cache.recipe(pathlib.Path(__file__)),
    }


def _builder(release: Release) -> collections.abc.Callable[[cache.Workshop], None]:
    def build(workshop: cache.Workshop) -> None:
        match release.source:
            case DebianPackage(suite):
                _from_debian(workshop, suite=suite)
            case GoModule():
                _from_module(workshop, release=release)
        _check(workshop.directory, release)

    return build


def _from_debian(workshop: cache.Workshop, *, suite: str) -> None:
    files = debian.unpack_package(workshop, suite=suite, package="containerd")
    for program in PROGRAMS:
        shutil.copy2(files / "usr" / "bin" / program, workshop.directory / program)


def _from_module(workshop: cache.Workshop, *, release: Release) -> None:
    _check_go()
    tag = f"v{release.version}"
    # A module of our own around it: `go install pkg@version` refuses 2.1, whose go.mod has
    # `exclude` lines. Sums are checked against the public checksum database all the same.
    module = f"module rcm.test/containerd\n\ngo 1.24\n\nrequire {_MODULE} {tag}\n"
    (workshop.scratch / "go.mod").write_text(module)
    workshop.step("go build")
    workshop.run(
        [
            "go",
            "build",
            "-mod=mod",
            "-trimpath",
            "-tags=no_btrfs",  # btrfs needs its headers and a C compiler
            f"-ldflags=-s -w -X {_MODULE}/version.Version={tag}",
            f"-o={workshop.directory}/",
            *(f"{_MODULE}/cmd/{program}" for program in PROGRAMS),
        ],
        cwd=workshop.scratch,
        env={"CGO_ENABLED": "0"},
    )


def _check_go() -> None:
    if shutil.which("go") is None:
        raise errors.MachineError("containerd 2.x is built from source: please install Go")
    said = subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"go(\d+)\.(\d+)", said)
    if found is None or tuple(map(int, found.groups())) < (1, 21):
        raise errors.MachineError(f"please install Go 1.21 or newer (found {said.strip()})")


def _check(directory: pathlib.Path, release: Release) -> None:
    argv = [str(directory / "containerd"), "--version"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    if release.version not in said:
        raise errors.BuildError(f"wanted containerd {release.version}, built {said.strip()!r}")
