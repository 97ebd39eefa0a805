"""Every field of a Shim's manifest: what it means, what it may hold, what to write instead.

`shim` parses by it, `crd` publishes it, nothing else says any of this again. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rcm_api import names
from rcm_api.fields import Amount, Choice, Flag, List, Map, Record, Rule, Text, Together, Whole

MAX_LOCATION = 2048
"""Longest URL we take; a guess that leaves room for signed URLs."""
MAX_MEMBER = 255
"""NAME_MAX of Linux file systems."""

MAX_WORD = 128
"""Of what has a form of its own. Longer than any right one: the API server's words about a length
have no advice in them, the rule's have."""

ARCHITECTURES = {"amd64": "amd64", "x86_64": "amd64", "arm64": "arm64", "aarch64": "arm64"}
"""Accepted spellings and the one we use (GOARCH, as nodes report it)."""

_RESERVED = "|".join((*names.RESERVED_HANDLERS, *(f"{p}.*" for p in names.RESERVED_PREFIXES)))
_QUANTITY = r"([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?"
"""As resource.Quantity of Kubernetes, without a sign."""

NAME = Text(
    "The name, also of the ready label and the metrics.",
    limit=names.MAX_LABEL,
    rules=(
        Rule(
            names.SUBDOMAIN,
            "must consist of a-z, 0-9, '-' and '.', and begin and end with a letter or digit",
            "choose a name like spin-v2",
        ),
    ),
)
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

_FETCH = Record(
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

_TOLERATION = Record(
    "As in a pod.",
    {
        "key": Text(
            "Key of the taint; absent: every key.",
            limit=317,
            rules=(
                Rule(
                    names.LABEL_KEY, "is no key of a taint", "write it like example.com/dedicated"
                ),
            ),
        ),
        "operator": Choice("Default Equal.", ("Equal", "Exists")),
        "value": Text(
            "Value of the taint.",
            limit=names.MAX_LABEL,
            rules=(Rule(names.LABEL_VALUE, "is no value of a taint", "write it like wasm"),),
        ),
        "effect": Choice("Absent: every effect.", ("NoSchedule", "PreferNoSchedule", "NoExecute")),
        "tolerationSeconds": Whole("How long NoExecute is tolerated.", least=0),
    },
    rules=(
        Together(
            "has(self.key) || has(self.operator) && self.operator == 'Exists'",
            lambda found: "key" not in found and found.get("operator") != "Exists",
            "has no key",
            "add key, or operator: Exists",
        ),
        Together(
            "!has(self.value) || self.value == '' || !has(self.operator)"
            " || self.operator != 'Exists'",
            lambda found: bool(found.get("value")) and found.get("operator") == "Exists",
            "has a value beside operator: Exists",
            "take the value out, or write operator: Equal",
        ),
        Together(
            "!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'",
            lambda found: "tolerationSeconds" in found and found.get("effect") != "NoExecute",
            "has tolerationSeconds without effect: NoExecute",
            "take one out, or add the other",
        ),
    ),
)

_CLASS = Record(
    "The RuntimeClass that the controller makes and keeps for the Shim.",
    {
        "name": Text(
            "Name of the RuntimeClass, which pods write as runtimeClassName.",
            limit=names.MAX_SUBDOMAIN,
            rules=(
                Rule(
                    names.SUBDOMAIN,
                    "is no Kubernetes name (a-z, 0-9, '-' and '.')",
                    "write for example wasmtime-spin-v2",
                ),
            ),
        ),
        "handler": Text(
            "Key of the runtime in containerd's configuration. Runtimes that others install"
            " (runc, crun, kata*, nvidia*) cannot be claimed.",
            limit=names.MAX_LABEL,
            rules=(
                Rule(
                    names.LABEL,
                    "must consist of a-z, 0-9 and '-', and begin and end with a letter or digit",
                    "choose a handler like spin-v2",
                ),
                Rule(
                    _RESERVED,
                    "is reserved for another runtime",
                    "choose a handler like spin-v2",
                    refuse=True,
                ),
            ),
        ),
        "tolerations": List(
            "Passed on to the RuntimeClass: pods of it tolerate these taints.",
            _TOLERATION,
            limit=16,
        ),
        "overhead": Record(
            "Passed on to the RuntimeClass.",
            {
                "podFixed": Map(
                    "What a pod costs beside its containers, by resource.",
                    key=Rule(names.LABEL_KEY, "is no resource's name", "write cpu or memory"),
                    value=Amount(
                        "A quantity.",
                        least=0,
                        rule=Rule(_QUANTITY, "is no quantity", "write it like 250m or 64Mi"),
                        limit=MAX_WORD,
                    ),
                    limit=8,
                )
            },
        ),
    },
    required=("name", "handler"),
)

_PERCENT = Rule(
    "([1-9][0-9]?|100)%",
    "is no number of nodes",
    "write a whole number from 1 to 1000000, or a percentage from 1% to 100%",
)

_ROLLOUT = Record(
    "How a change reaches the nodes.",
    {
        "type": Choice(
            "rolling: in waves (default). recreate: all nodes at once.", ("rolling", "recreate")
        ),
        "rolling": Record(
            "The waves.",
            {
                "maxUpdate": Amount(
                    "Most nodes that may be changing or broken at one time, as a number or as a"
                    " percentage of the selected ones (rounded down, at least 1). Default 10%.",
                    least=1,
                    rule=_PERCENT,
                    limit=MAX_WORD,
                ),
                "canary": Record(
                    "The first wave.",
                    {
                        "nodes": Whole(
                            "Nodes of each class (os, arch, distribution, minor version of"
                            " containerd) that go first. Default 1.",
                            least=1,
                        ),
                        "soakSeconds": Whole(
                            "How long they must be ready before the others follow. Default 30.",
                            least=0,
                        ),
                    },
                ),
                "maxFailures": Amount(
                    "Failed nodes, as a number or percentage, at which the rollout stops. Default"
                    " 1 among the canaries, then the larger of 2 and 2%.",
                    least=1,
                    rule=_PERCENT,
                    limit=MAX_WORD,
                ),
            },
        ),
        "paused": Flag("Change no more nodes; what failed is still cleaned up."),
        "disruption": Choice(
            "Where a restart of containerd would end running containers. WaitForIdle: wait until"
            " there are none (default). Allow: stop them.",
            ("WaitForIdle", "Allow"),
        ),
    },
)

SPEC = Record(
    "What the selected nodes shall have.",
    {
        "nodeSelector": Map(
            "Labels of the nodes that shall have the shim; absent: all Linux nodes.",
            key=Rule(names.LABEL_KEY, "is no label key", "write it like example.com/wasm"),
            value=Text(
                "Value of the label.",
                limit=names.MAX_LABEL,
                rules=(
                    Rule(names.LABEL_VALUE, "is no label value", "write it like true, in quotes"),
                ),
            ),
            limit=32,
        ),
        "fetchStrategy": _FETCH,
        "runtimeClass": _CLASS,
        "containerdRuntimeOptions": Map(
            "containerd's options table of the runtime. true, false and whole numbers become TOML"
            " booleans and integers. Without SystemdCgroup, the node's own choice is followed.",
            key=Rule(
                "[A-Za-z][A-Za-z0-9_]{0,63}",
                "is no option of containerd",
                "option keys look like SystemdCgroup",
            ),
            value=Text("The value, in quotes.", limit=1024),
            limit=32,
        ),
        "rolloutStrategy": _ROLLOUT,
        "version": Text("Free text for people: shown in columns and metrics.", limit=MAX_WORD),
    },
    required=("fetchStrategy", "runtimeClass"),
)
