"""A small image with Python 3.11 and a shell, which our programs' images are built on.

Users build on python.org's image; machines without a registry cut the same out of the nodes' root
file system, which is there anyway: the files of a few Debian packages and of what these need.
Called by `program_images`.
"""

import collections.abc
import pathlib
import re
import subprocess
import tarfile

from tests.testbed import cache, errors, rootfs

_PACKAGES = (
    "base-files",
    "ca-certificates",
    "coreutils",
    "dash",
    "findutils",
    "libstdc++6",  # wheels with C++ in them expect it of a system
    "python3",
    "tzdata",
)
_WITHOUT = frozenset({"awk", "debconf", "openssl", "perl-base", "dpkg"})
"""Needed to install packages, not to run them."""
# What Debian's packages make when they are installed; no list of files has it.
_MADE = (
    "bin",
    "etc/group",
    "etc/ld.so.cache",
    "etc/localtime",
    "etc/nsswitch.conf",
    "etc/passwd",
    "etc/ssl/certs",
    "lib",
    "lib64",
    "sbin",
    "tmp",
    "usr/bin/sh",
    "usr/lib/ssl",
)
_MERGED = re.compile(r"^(bin|sbin|lib|lib32|lib64|libx32)/")
_INFO = "var/lib/dpkg/info"

Packages = dict[str, tuple[str, ...]]


def image() -> str:
    """Return the tag of the image in Docker's store.

    Raises:
        BuildError: It, or the root file system, cannot be made.
    """
    key = cache.key(_inputs())
    tag = f"rcm-testbed/python:{key}"
    with cache.lock("image-python"):
        if subprocess.run(
            ["docker", "image", "inspect", tag], capture_output=True, check=False
        ).returncode:
            archive = cache.entry("python-base", _inputs(), _build) / "python.tar"
            cache.run_logged(["docker", "import", archive, tag], log=cache.log_path("image-python"))
    return tag


def _inputs() -> dict[str, str | bytes]:
    return {"rootfs": rootfs.key(), **cache.recipe(pathlib.Path(__file__))}


def _build(workshop: cache.Workshop) -> None:
    source = rootfs.archive()
    workshop.step("choose files")
    with tarfile.open(source) as full:
        members = {member.name.removeprefix("./"): member for member in full}
        wanted = _files(full, members)
        with tarfile.open(workshop.directory / "python.tar", "w") as small:
            for name, member in members.items():
                if _chosen(name, wanted):
                    small.addfile(member, full.extractfile(member) if member.isreg() else None)


def _files(
    full: tarfile.TarFile, members: collections.abc.Mapping[str, tarfile.TarInfo]
) -> set[str]:
    found: set[str] = set()
    for package in _closure(_parse(_read(full, members["var/lib/dpkg/status"]))):
        lists = [f"{_INFO}/{package}.list", *_multiarch(members, package)]
        lines = _read(full, next(members[name] for name in lists if name in members)).splitlines()
        found.update(_MERGED.sub(r"usr/\1/", line.lstrip("/")) for line in lines)
    return found


def _multiarch(members: collections.abc.Iterable[str], package: str) -> list[str]:
    start = f"{_INFO}/{package}:"
    return [name for name in members if name.startswith(start) and name.endswith(".list")]


def _chosen(name: str, wanted: set[str]) -> bool:
    if name.startswith(("usr/share/doc/", "usr/share/man/", "usr/share/locale/")):
        return False
    return name in wanted or any(name == made or name.startswith(f"{made}/") for made in _MADE)


def _read(full: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = full.extractfile(member)
    assert file is not None
    return file.read().decode()


def _parse(status: str) -> Packages:
    """Return the needs of each package."""
    packages: Packages = {}
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, re.MULTILINE))
        if "Package" in fields:
            needs = f"{fields.get('Pre-Depends', '')},{fields.get('Depends', '')}"
            packages[fields["Package"]] = _names(needs)
    return packages


def _names(field: str) -> tuple[str, ...]:
    """Return package names, of alternatives the first, as debootstrap chooses."""
    return tuple(re.findall(r"(?:^|,)\s*([a-z0-9][a-z0-9+.-]*)", field))


def _closure(packages: Packages) -> list[str]:
    found: set[str] = set()
    left = list(_PACKAGES)
    while left:
        name = left.pop()
        if name not in found | _WITHOUT:
            if name not in packages:
                raise errors.BuildError(f"the root file system has no package {name}")
            found.add(name)
            left.extend(packages[name])
    return sorted(found)
