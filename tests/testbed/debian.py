"""Debian's archive: which mirror this machine uses, and packages of any suite from it.

Nodes are Debian 12 whatever the machine is, and one containerd comes from Debian 13: so packages
are fetched through a private apt configuration, next to the machine's own. The mirror is the one
that the machine's apt sources name; RCM_DEBIAN_MIRROR names another (needed on other
distributions, whose apt sources have none).
"""

import collections.abc
import os
import pathlib

from tests.testbed import cache, errors

_SOURCES = (pathlib.Path("/etc/apt/sources.list"), pathlib.Path("/etc/apt/sources.list.d"))
_KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def mirror() -> str:
    """Return the URL of Debian's main archive that this machine uses.

    Raises:
        MachineError: No apt source of this machine is Debian's main archive.
    """
    if chosen := os.environ.get("RCM_DEBIAN_MIRROR"):
        return chosen
    for text in _source_files():
        for url in _urls(text):
            if url.rstrip("/").endswith("/debian"):
                return url
    raise errors.MachineError(
        "no apt source of this machine is a Debian archive: "
        "set RCM_DEBIAN_MIRROR to the URL of a Debian mirror"
    )


def unpack_package(workshop: cache.Workshop, *, suite: str, package: str) -> pathlib.Path:
    """Download a package of `suite` and unpack it; return the directory with its files.

    Raises:
        BuildError: apt or dpkg-deb failed.
        MachineError: This machine knows no Debian mirror.
    """
    home = workshop.scratch / "apt"
    options = _private_apt(home, suite=suite)
    workshop.step(f"apt update {suite}")
    workshop.run(["apt-get", *options, "update"])
    workshop.step(f"download {package}")
    workshop.run(["apt-get", *options, "download", package], cwd=home / "debs")
    archive = next((home / "debs").glob(f"{package}_*.deb"))
    files = workshop.scratch / "files"
    workshop.run(["dpkg-deb", "-x", archive, files])
    return files


def _private_apt(home: pathlib.Path, *, suite: str) -> list[str]:
    for name in ("state/lists/partial", "cache/archives/partial", "debs", "parts"):
        (home / name).mkdir(parents=True)
    signed = f" [signed-by={_KEYRING}]" if _KEYRING.exists() else ""
    (home / "sources.list").write_text(f"deb{signed} {mirror()} {suite} main\n")
    (home / "state" / "status").touch()
    settings = {
        "Dir::Etc::sourcelist": home / "sources.list",
        "Dir::Etc::sourceparts": home / "parts",
        "Dir::Etc::preferencesparts": home / "parts",
        "Dir::State": home / "state",
        "Dir::State::status": home / "state" / "status",
        "Dir::Cache": home / "cache",
        "APT::Sandbox::User": "root",  # the scratch directory is not readable for user _apt
        "Acquire::Languages": "none",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _source_files() -> collections.abc.Iterator[str]:
    for path in _SOURCES:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and file.suffix in {".list", ".sources"}:
                yield file.read_text()


def _urls(text: str) -> collections.abc.Iterator[str]:
    for line in text.splitlines():
        words = line.split()
        if words[:1] in (["deb"], ["URIs:"]):
            yield from (word for word in words if "://" in word)
