"""The fields of a Shim's manifest that say where its files come from. Part of `shim_fields`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rcm_api import names
from rcm_api.fields import MAX_WORD, Choice, List, Record, Rule, Text, Together

MAX_LOCATION = 2048
"""Longest URL we take; a guess that leaves room for signed URLs."""
MAX_MEMBER = 255
"""NAME_MAX of Linux file systems."""


ARCHITECTURES = {"amd64": "amd64", "x86_64": "amd64", "arm64": "arm64", "aarch64": "arm64"}
"""Accepted spellings and the one we use (GOARCH, as nodes report it)."""

_SCHEME = Rule(
    "(https?|file)://.*",
    "has a scheme that we do not fetch from",
    "write https://…, http://… (with sha256) or file:///path/on/the/node",
)
_PLAIN = Rule(
    "[!-~]*", "has a space, a control character or a letter beyond ASCII", "write it %-encoded"
)
_NO_LOGIN = Rule(
    "[a-z]*://[^/?#]*@.*",
    "holds a user name or password",
    "take it out: everybody can read a manifest",
    refuse=True,
)
_PLACE = Rule(
    r"file:///.+|https?://([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?#].*)?",
    "names no host, or no absolute path of the node",
    "write https://host/path or file:///path/on/the/node",
)
_LOCATION = (_PLAIN, _SCHEME, _NO_LOGIN, _PLACE)
_NO_HTTP = Rule(
    "http://.*", "is http:// without a sha256", "add sha256, or write https://", refuse=True
)


def _same_platform(a: str, b: str) -> str:
    """Say in CEL that two platforms are one: `x86_64` is another word for `amd64`."""
    known = dict.fromkeys(ARCHITECTURES.values())
    groups = [[word for word, name in ARCHITECTURES.items() if name == one] for one in known]
    return f"{a}.os == {b}.os && {groups}.exists(g, {a}.arch in g && {b}.arch in g)"


def _cel_content(item: str) -> str:
    """Say in CEL what `_content` says in Python."""
    digest = f"has({item}.sha256) ? {item}.sha256.lowerAscii() : {item}.location"
    return f"[{digest}, has({item}.binary) ? {item}.binary : '']"


def _content(platform: Mapping[str, Any]) -> tuple[str, str]:
    digest: str | None = platform.get("sha256")
    return digest.lower() if digest else platform["location"], platform.get("binary", "")


def _has_twins(platforms: list[Mapping[str, Any]]) -> bool:
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    for platform in platforms:
        key = (platform["os"], ARCHITECTURES[platform["arch"]])
        if seen.setdefault(key, _content(platform)) != _content(platform):
            return True
    return False


_PLATFORM = Record(
    "One downloadable file: an archive that holds a shim, or the bare binary.",
    {
        "os": Choice("Operating system of the nodes.", ("linux",)),
        "arch": Choice(
            "Architecture of the nodes. x86_64 means amd64, aarch64 means arm64.",
            tuple(ARCHITECTURES),
        ),
        "location": Text(
            "Where nodes fetch it from: https://, http:// (with sha256 only), or file:// in the"
            " node's own file system. A .tar.gz, .tar.xz, .tar.zst or .tar archive, or a binary.",
            limit=MAX_LOCATION,
            rules=_LOCATION,
            secret=True,
        ),
        "sha256": Text(
            "SHA-256 of the file at location. Without it the first download is trusted, and all"
            " nodes must match that one.",
            limit=MAX_WORD,
            rules=(
                Rule(
                    names.SHA256, "is no SHA-256", "write the 64 hex digits that sha256sum prints"
                ),
            ),
        ),
        "binary": Text(
            "Member of the archive to install; default: the only executable, else the one called"
            " containerd-shim-*.",
            limit=MAX_MEMBER,
            rules=(
                Rule(
                    "[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*",
                    "is no plain relative path",
                    "write the member's name as tar -t prints it",
                ),
                Rule(
                    r"(.*/)?\.\.(/.*)?",
                    "leads out of the archive",
                    "write it without ..",
                    refuse=True,
                ),
            ),
        ),
    },
    required=("os", "arch", "location"),
    rules=(
        Together(
            "!self.location.startsWith('http://') || has(self.sha256)",
            lambda found: found["location"].startswith("http://") and "sha256" not in found,
            _NO_HTTP.problem,
            _NO_HTTP.advice,
            at="location",
        ),
    ),
)

FETCH = Record(
    "Where the shim comes from.",
    {
        "type": Text("Deprecated and ignored.", limit=MAX_WORD),
        "anonHttp": Record(
            "Deprecated: one location for every platform, used where platforms has no match.",
            {
                "location": Text(
                    "Where nodes fetch it from: https:// or file://.",
                    limit=MAX_LOCATION,
                    rules=(*_LOCATION, _NO_HTTP),
                    secret=True,
                )
            },
            required=("location",),
        ),
        "platforms": List(
            "One file per platform. Nodes of a platform that is not here are left alone.",
            _PLATFORM,
            limit=16,
            keys=("os", "arch"),
            rules=(
                Together(
                    f"self.all(a, self.all(b, !({_same_platform('a', 'b')})"
                    f" || {_cel_content('a')} == {_cel_content('b')}))",
                    _has_twins,
                    "has two different artifacts for one platform (x86_64 means amd64, aarch64"
                    " means arm64)",
                    "keep one of them",
                ),
            ),
        ),
    },
    rules=(
        Together(
            "has(self.anonHttp) || has(self.platforms) && size(self.platforms) > 0",
            lambda found: not found.get("platforms") and "anonHttp" not in found,
            "names no artifact",
            "add a platforms entry with os, arch, location and sha256",
        ),
    ),
)
