"""The `Shim`: what a user asks for, as records that cannot be wrong.

`parse` takes a decoded manifest and returns a `Shim`, or raises `InvalidShim` with the field, what
is wrong with it and what to write instead. Manifests of spinframework/runtime-class-manager parse
unmodified. Pure.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rcm_api import artifact_fields, names, reading, shim_fields
from rcm_api.fields import InvalidShim

OptionValue = bool | int | str


@dataclass(frozen=True, slots=True)
class Artifact:
    """One downloadable file: an archive that holds a shim, or the bare binary."""

    os: str
    arch: str
    """`amd64`, `arm64`, or empty: for every platform (legacy `anonHttp`)."""
    location: str
    sha256: str | None
    """64 lower-case hex digits of the file at `location`; None: trust on first use."""
    binary: str | None
    """Member of the archive; None: the obvious one."""


@dataclass(frozen=True, slots=True)
class RuntimeClass:
    """The RuntimeClass that belongs to the Shim."""

    name: str
    handler: str
    """The key written to containerd."""
    tolerations: tuple[Mapping[str, Any], ...] = ()
    overhead: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Rollout:
    """How nodes change, and what may be disturbed."""

    type: Literal["rolling", "recreate"] = "rolling"
    max_update: int | str = "10%"
    canary_nodes: int = 1
    soak_seconds: int = 30
    max_failures: int | str | None = None
    paused: bool = False
    disruption: Literal["WaitForIdle", "Allow"] = "WaitForIdle"


@dataclass(frozen=True, slots=True)
class Shim:
    """What a user wants on the selected nodes."""

    name: str
    artifacts: tuple[Artifact, ...]
    runtime_class: RuntimeClass
    options: Mapping[str, OptionValue]
    node_selector: Mapping[str, str] | None = None
    rollout: Rollout = Rollout()
    version: str = ""


def parse(document: object) -> Shim:
    """Turn a decoded `Shim` manifest into a record.

    Raises:
        InvalidShim: with the path of the field, the problem and the advice.
    """
    top = reading.mapping(document, "manifest")
    _expect(top, "apiVersion", names.API_VERSION)
    _expect(top, "kind", "Shim")
    reading.known(top, "", ("apiVersion", "kind", "metadata", "spec", "status"))
    metadata = reading.mapping(top.get("metadata"), "metadata")
    spec = reading.read(shim_fields.SPEC, top.get("spec"), "spec")
    return Shim(
        name=reading.read(shim_fields.NAME, metadata.get("name"), "metadata.name"),
        artifacts=_artifacts(spec["fetchStrategy"]),
        runtime_class=_runtime_class(spec["runtimeClass"]),
        options={k: _option(v) for k, v in spec.get("containerdRuntimeOptions", {}).items()},
        node_selector=spec.get("nodeSelector"),
        rollout=_rollout(spec.get("rolloutStrategy", {})),
        version=spec.get("version", ""),
    )


def choose(shim: Shim, *, os: str, arch: str) -> Artifact | None:
    """Return the artifact for a platform: an exact match, else the legacy one for all."""
    exact = (a for a in shim.artifacts if (a.os, a.arch) == (os, arch))
    anywhere = (a for a in shim.artifacts if a.os == os and not a.arch)
    return next(exact, None) or next(anywhere, None)


def digest(shim: Shim, artifact: Artifact) -> str:
    """Return 64 hex digits that change exactly when a node has something to do for the Shim."""
    wanted = {
        "artifact": [artifact.location, artifact.sha256, artifact.binary],
        "handler": shim.runtime_class.handler,
        "options": dict(sorted(shim.options.items())),
    }
    canonical = json.dumps(wanted, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def warnings(shim: Shim) -> tuple[str, ...]:
    """Say what is legal and unwise, in the words of `manifests/policy/shim-warnings.yaml`."""
    found: list[str] = []
    if any(artifact.sha256 is None for artifact in shim.artifacts):
        found.append(NO_DIGEST)
    if any(artifact.location.startswith("http://") for artifact in shim.artifacts):
        found.append(HTTP)
    if shim.rollout.type == "recreate":
        found.append(RECREATE)
    return tuple(found)


NO_DIGEST = (
    "an artifact has no sha256: the first download is trusted, and all nodes must match that one;"
    " write sha256 beside its location"
)
HTTP = (
    "a location is http://: the sha256 is checked, but anybody on the way can see or stop the"
    " download; write https://"
)
RECREATE = (
    "rolloutStrategy.type recreate changes all nodes at once: a bad release breaks the shim on"
    " every one of them; write type: rolling"
)

_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")


def _expect(top: Mapping[str, Any], key: str, value: str) -> None:
    if top.get(key) != value:
        raise InvalidShim(key, f"is {top.get(key)!r}", f"write {key}: {value}")


def _artifacts(fetch: Mapping[str, Any]) -> tuple[Artifact, ...]:
    found = [_artifact(platform) for platform in fetch.get("platforms", [])]
    if "anonHttp" in fetch:
        location = fetch["anonHttp"]["location"]
        found.append(Artifact(os="linux", arch="", location=location, sha256=None, binary=None))
    return tuple(found)


def _artifact(platform: Mapping[str, Any]) -> Artifact:
    sha256: str | None = platform.get("sha256")
    return Artifact(
        os=platform["os"],
        arch=artifact_fields.ARCHITECTURES[platform["arch"]],
        location=platform["location"],
        sha256=sha256.lower() if sha256 else None,
        binary=platform.get("binary", "").removeprefix("./") or None,
    )


def _runtime_class(found: Mapping[str, Any]) -> RuntimeClass:
    return RuntimeClass(
        name=found["name"],
        handler=found["handler"],
        tolerations=tuple(found.get("tolerations", [])),
        overhead=found.get("overhead", {}),
    )


def _option(text: str) -> OptionValue:
    """Return an option as the TOML value that it reads as: boolean, integer or string."""
    if text in {"true", "false"}:
        return text == "true"
    return int(text) if _INTEGER.fullmatch(text) else text


def _rollout(strategy: Mapping[str, Any]) -> Rollout:
    rolling = strategy.get("rolling", {})
    canary = rolling.get("canary", {})
    usual = Rollout()
    return Rollout(
        type=strategy.get("type", usual.type),
        max_update=rolling.get("maxUpdate", usual.max_update),
        canary_nodes=canary.get("nodes", usual.canary_nodes),
        soak_seconds=canary.get("soakSeconds", usual.soak_seconds),
        max_failures=rolling.get("maxFailures"),
        paused=strategy.get("paused", usual.paused),
        disruption=strategy.get("disruption", usual.disruption),
    )
