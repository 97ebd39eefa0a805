#!/usr/bin/env python3
"""Builds the shim, in the variants that demo and tests install.

    build.py --out DIR [--target-dir DIR] [--variant NAME]...

leaves, for each variant,

    DIR/<variant>/containerd-shim-wasmtime-v1
    DIR/<variant>/containerd-shim-wasmtime-linux-<machine>.tar.gz   as a release would have it

| variant | version it prints | Task.Pids |
|---|---|---|
| v0.1.0 | 0.1.0 | yes |
| v0.2.0 | 0.2.0 | yes |
| v0.1.0-nopids | 0.1.0 | no: the library as it was published |

`patches/containerd-shimkit-pids.patch` says what Task.Pids is for. It is applied to a copy of the
library's source from the registry, and the crate is built from a copy whose Cargo.lock takes the
library from there: Cargo.toml and Cargo.lock in git know nothing of it, and everything stays
pinned. The variants share what they can in one target directory.

Needs cargo, git, protoc, pkg-config and libseccomp's headers. Where libseccomp.a is there too
(Debian's libseccomp-dev has it) it is linked in: then the shim needs glibc and libgcc alone.
"""

import argparse
import collections.abc
import dataclasses
import gzip
import hashlib
import io
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

CRATE = pathlib.Path(__file__).resolve().parent
BINARY = "containerd-shim-wasmtime-v1"
LIBRARY = "containerd-shimkit"
PATCH = CRATE / "patches" / f"{LIBRARY}-pids.patch"

Environment = collections.abc.Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Variant:
    """One build of the shim.

    Attributes:
        name: Its directory below the output directory.
        version: What `-v` prints.
        pids: Whether the library is patched.
    """

    name: str
    version: str
    pids: bool


# Ordered so that neighbours share the most.
VARIANTS = (
    Variant("v0.1.0", "0.1.0", pids=True),
    Variant("v0.2.0", "0.2.0", pids=True),
    Variant("v0.1.0-nopids", "0.1.0", pids=False),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """A crate to build, and how cargo must be told.

    Attributes:
        manifest: Its Cargo.toml.
        config: Arguments for cargo.
        revision: What `-v` prints as the revision.
    """

    manifest: pathlib.Path
    config: tuple[str, ...]
    revision: str


class BuildError(Exception):
    """The shim cannot be built; the message says what to do."""


def main() -> int:
    """Build what the command line asks for."""
    arguments = _parse()
    try:
        build(
            arguments.out,
            target=arguments.target_dir.absolute(),
            variants=[v for v in VARIANTS if v.name in (arguments.variant or _names())],
        )
    except BuildError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    return 0


def build(
    out: pathlib.Path,
    *,
    target: pathlib.Path,
    variants: collections.abc.Sequence[Variant] = VARIANTS,
) -> None:
    """Build variants into directories below `out`.

    Args:
        out: Where the results go; made when it is not there.
        target: Cargo's target directory, kept for the next build.
        variants: Which ones.

    Raises:
        BuildError: A program failed, or the patch does not fit the library.
    """
    library = _library()
    linking = _libseccomp()
    for variant in variants:
        source = _patched(library, target) if variant.pids else _published(library)
        binary = _compile(variant, source=source, target=target, linking=linking)
        _deliver(binary, out / variant.name)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build the reference shim.")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="where the results go")
    parser.add_argument(
        "--target-dir",
        type=pathlib.Path,
        default=default_target(),
        help="cargo's target directory (default: %(default)s)",
    )
    parser.add_argument(
        "--variant", action="append", choices=_names(), help="build this one (default: all)"
    )
    return parser.parse_args()


def _names() -> list[str]:
    return [variant.name for variant in VARIANTS]


def default_target() -> pathlib.Path:
    """Return the target directory in the project's cache."""
    if chosen := os.environ.get("RCM_CACHE"):
        return pathlib.Path(chosen) / "shim-target"
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "runtime-class-manager" / "shim-target"


def _published(library: pathlib.Path) -> Source:
    return Source(CRATE / "Cargo.toml", (), library.name)


def _patched(library: pathlib.Path, target: pathlib.Path) -> Source:
    copy = _patched_library(library, target)
    manifest = _relocked_crate(target / "rcm" / "crate")
    config = f"patch.crates-io.{LIBRARY}.path={json.dumps(str(copy))}"
    return Source(manifest, ("--config", config), f"{library.name}+pids")


def _library() -> pathlib.Path:
    """Return the library's source as the registry published it, fetched if need be."""
    manifest = CRATE / "Cargo.toml"
    # Dependencies of other platforms alone are left where they are.
    host = _read(["rustc", "--print", "host-tuple"]).strip()
    _run(["cargo", "fetch", "--locked", "--target", host, "--manifest-path", manifest])
    told = json.loads(
        _read(
            [
                *("cargo", "metadata", "--locked", "--offline", "--format-version=1"),
                *(f"--filter-platform={host}", f"--manifest-path={manifest}"),
            ]
        )
    )
    found = [package for package in told["packages"] if package["name"] == LIBRARY]
    if len(found) != 1:
        raise BuildError(f"expected one {LIBRARY} in Cargo.lock, found {len(found)}")
    return pathlib.Path(found[0]["manifest_path"]).parent


def _patched_library(library: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    """Return a patched copy; the same inputs return the same, untouched one."""
    key = hashlib.sha256(PATCH.read_bytes()).hexdigest()[:12]
    copy = target / "rcm" / f"{library.name}-{key}"
    if copy.is_dir():
        return copy
    copy.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=copy.parent) as scratch:
        fresh = pathlib.Path(scratch) / copy.name
        shutil.copytree(library, fresh)
        _apply(PATCH, fresh)
        fresh.rename(copy)
    return copy


def _apply(patch: pathlib.Path, directory: pathlib.Path) -> None:
    """Apply a patch exactly: `git apply` knows no fuzz.

    Raises:
        BuildError: It does not fit, or changed nothing.
    """
    names = re.findall(r"^\+\+\+ b/(\S+)$", patch.read_text(), flags=re.MULTILINE)
    files = [directory / name for name in names]
    before = [file.read_bytes() for file in files if file.is_file()]
    # A cache inside of a git work tree: git would apply the patch from the top of that.
    alone = {"GIT_CEILING_DIRECTORIES": str(directory.parent)}
    try:
        _run(["git", "apply", patch], cwd=directory, env=alone)
    except BuildError as error:
        raise BuildError(
            f"{patch.name} does not fit {directory.name.rpartition('-')[0]}: "
            "if that release has Task.Pids, drop the patch, otherwise renew it"
        ) from error
    if not files or any(old == file.read_bytes() for old, file in zip(before, files, strict=True)):
        raise BuildError(f"{patch.name} changed nothing in {directory}")


def _relocked_crate(copy: pathlib.Path) -> pathlib.Path:
    """Copy the crate, with the library's registry taken out of Cargo.lock; return Cargo.toml.

    Unchanged files are left alone: cargo looks at their times.
    """
    files = {path.relative_to(CRATE): path.read_bytes() for path in _crate_files()}
    lock = pathlib.Path("Cargo.lock")
    files[lock] = _unregistered(files[lock].decode(), LIBRARY).encode()
    for stale in [path for path in copy.rglob("*.rs") if path.relative_to(copy) not in files]:
        stale.unlink()
    for name, data in files.items():
        _write(copy / name, data)
    return copy / "Cargo.toml"


def _crate_files() -> list[pathlib.Path]:
    sources = sorted((CRATE / "src").rglob("*.rs"))
    return [CRATE / "Cargo.toml", CRATE / "Cargo.lock", *sources]


def _unregistered(lock: str, package: str) -> str:
    """Take a package's source and checksum out of the text of a Cargo.lock.

    That is how cargo locks a package that comes from a path, and `--locked` allows no other.
    """
    entry = rf'(name = "{package}"\nversion = "[^"]+"\n)source = "[^"]+"\nchecksum = "[^"]+"\n'
    changed, count = re.subn(entry, r"\1", lock)
    if count != 1:
        raise BuildError(f"expected one registry entry of {package} in Cargo.lock, found {count}")
    return changed


def _write(path: pathlib.Path, data: bytes) -> None:
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _libseccomp() -> Environment:
    """Return how to link libseccomp: into the binary where that is possible."""
    directory = _read(["pkg-config", "--variable=libdir", "libseccomp"]).strip()
    if not (pathlib.Path(directory) / "libseccomp.a").is_file():
        return {}
    return {"LIBSECCOMP_LINK_TYPE": "static", "LIBSECCOMP_LIB_PATH": directory}


def _compile(
    variant: Variant, *, source: Source, target: pathlib.Path, linking: Environment
) -> pathlib.Path:
    """Compile one variant and return its binary, which the next one overwrites."""
    what = [f"--bin={BINARY}", f"--manifest-path={source.manifest}", f"--target-dir={target}"]
    argv = ["cargo", "build", "--release", "--locked", *what, *source.config]
    text = {"SHIM_VERSION": variant.version, "SHIM_REVISION": source.revision}
    _run(argv, env={**linking, **text})
    return target / "release" / BINARY


def _deliver(binary: pathlib.Path, directory: pathlib.Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    data = binary.read_bytes()
    _replace(directory / BINARY, data, mode=0o755)
    name = f"containerd-shim-wasmtime-linux-{platform.machine()}.tar.gz"
    _replace(directory / name, _archive(data), mode=0o644)


def _archive(data: bytes) -> bytes:
    """Return a .tar.gz with the binary as its one member; the same data, the same bytes."""
    member = tarfile.TarInfo(f"./{BINARY}")
    member.size, member.mode = len(data), 0o755
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(member, io.BytesIO(data))
    return gzip.compress(plain.getvalue(), compresslevel=6, mtime=0)


def _replace(path: pathlib.Path, data: bytes, *, mode: int) -> None:
    """Put a file in place at once: the old one may be running."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(data)
    fresh.chmod(mode)
    fresh.rename(path)


Words = collections.abc.Sequence[str | pathlib.Path]


def _run(argv: Words, *, cwd: pathlib.Path | None = None, env: Environment | None = None) -> None:
    _call(argv, cwd=cwd, env=env, stdout=None)


def _read(argv: Words) -> str:
    return _call(argv, cwd=None, env=None, stdout=subprocess.PIPE).stdout


def _call(
    argv: Words, *, cwd: pathlib.Path | None, env: Environment | None, stdout: int | None
) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words, cwd=cwd, env={**os.environ, **(env or {})}, stdout=stdout, text=True, check=False
        )
    except FileNotFoundError as error:
        raise BuildError(f"cannot run {words[0]!r}: please install it") from error
    if done.returncode != 0:
        raise BuildError(f"{' '.join(words)!r} exited with {done.returncode}")
    return done


if __name__ == "__main__":
    sys.exit(main())
