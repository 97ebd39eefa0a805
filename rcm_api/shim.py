"""The `Shim`: what a user asks for, as records that cannot be wrong.

`parse` takes a decoded manifest and returns a `Shim`, or raises `InvalidShim` with the field, what
is wrong with it and what to write instead. Manifests of spinframework/runtime-class-manager parse
unmodified. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rcm_api import fields, names
from rcm_api.fields import InvalidShim

ARCHITECTURES = {"amd64": "amd64", "x86_64": "amd64", "arm64": "arm64", "aarch64": "arm64"}
"""Accepted spellings and the one we use (GOARCH, as nodes report it)."""

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
    top = fields.mapping(document, "manifest")
    _expect(top, "apiVersion", names.API_VERSION)
    _expect(top, "kind", "Shim")
    fields.known(top, "", ("apiVersion", "kind", "metadata", "spec", "status"))
    metadata = fields.mapping(top.get("metadata"), "metadata")
    spec = fields.mapping(top.get("spec"), "spec")
    fields.known(spec, "spec", _SPEC)
    return Shim(
        name=_name(metadata),
        artifacts=_artifacts(fields.mapping(spec.get("fetchStrategy"), "spec.fetchStrategy")),
        runtime_class=_runtime_class(fields.mapping(spec.get("runtimeClass"), "spec.runtimeClass")),
        options=_options(spec.get("containerdRuntimeOptions")),
        node_selector=_node_selector(spec.get("nodeSelector")),
        rollout=_rollout(spec.get("rolloutStrategy")),
        version=fields.text(spec.get("version", ""), "spec.version", empty=True, limit=128),
    )


def choose(shim: Shim, *, os: str, arch: str) -> Artifact | None:
    """Return the artifact for a platform: an exact match, else the legacy one for all."""
    exact = (a for a in shim.artifacts if (a.os, a.arch) == (os, arch))
    anywhere = (a for a in shim.artifacts if not a.arch)
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
    """Say what is legal and unwise."""
    found: list[str] = []
    for artifact in shim.artifacts:
        if artifact.sha256 is None:
            found.append(
                f"{artifact.arch or 'fetchStrategy'}: no sha256, so the first download is trusted"
            )
        if artifact.location.startswith("http://"):
            found.append(f"{artifact.arch}: http:// can be read and delayed by anybody on the way")
    if shim.rollout.type == "recreate":
        found.append("rolloutStrategy recreate changes all nodes at once")
    return tuple(found)


_SPEC = (
    "nodeSelector",
    "fetchStrategy",
    "runtimeClass",
    "containerdRuntimeOptions",
    "rolloutStrategy",
    "version",
)


def _expect(top: Mapping[str, Any], key: str, value: str) -> None:
    if top.get(key) != value:
        raise InvalidShim(key, f"is {top.get(key)!r}", f"write {key}: {value}")


def _name(metadata: Mapping[str, Any]) -> str:
    name = fields.text(metadata.get("name"), "metadata.name")
    problem = names.name_problem(name)
    if problem is not None:
        raise InvalidShim("metadata.name", f"{name!r} {problem}", "choose a name like spin-v2")
    return name


def _artifacts(fetch: Mapping[str, Any]) -> tuple[Artifact, ...]:
    where = "spec.fetchStrategy"
    fields.known(fetch, where, ("type", "anonHttp", "platforms"))
    found = [
        _platform(entry, f"{where}.platforms[{index}]")
        for index, entry in enumerate(
            fields.sequence(fetch.get("platforms", []), f"{where}.platforms")
        )
    ]
    if fetch.get("anonHttp") is not None:
        legacy = fields.mapping(fetch["anonHttp"], f"{where}.anonHttp")
        fields.known(legacy, f"{where}.anonHttp", ("location",))
        place = f"{where}.anonHttp.location"
        location = fields.location(legacy.get("location"), place, sha256=None)
        found.append(Artifact(os="linux", arch="", location=location, sha256=None, binary=None))
    if not found:
        raise InvalidShim(
            where, "names no artifact", "add a platforms entry with os, arch, location and sha256"
        )
    _refuse_twins(found, where)
    return tuple(found)


def _platform(entry: object, where: str) -> Artifact:
    platform = fields.mapping(entry, where)
    fields.known(platform, where, ("os", "arch", "location", "sha256", "binary"))
    sha256 = platform.get("sha256")
    if sha256 is not None:
        sha256 = fields.sha256(sha256, f"{where}.sha256")
    binary = platform.get("binary")
    return Artifact(
        os=fields.choice(platform.get("os"), f"{where}.os", {"linux": "linux"}),
        arch=fields.choice(platform.get("arch"), f"{where}.arch", ARCHITECTURES),
        location=fields.location(platform.get("location"), f"{where}.location", sha256=sha256),
        sha256=sha256,
        binary=None if binary is None else fields.member(binary, f"{where}.binary"),
    )


def _refuse_twins(artifacts: list[Artifact], where: str) -> None:
    """Upstream manifests list amd64 and x86_64 with one content; two that differ are a riddle."""
    seen: dict[tuple[str, str], Artifact] = {}
    for artifact in artifacts:
        other = seen.setdefault((artifact.os, artifact.arch), artifact)
        if other.sha256 != artifact.sha256:
            raise InvalidShim(
                f"{where}.platforms",
                f"has two different artifacts for {artifact.os}/{artifact.arch}",
                "keep one of them",
            )


def _runtime_class(found: Mapping[str, Any]) -> RuntimeClass:
    where = "spec.runtimeClass"
    fields.known(found, where, ("name", "handler", "tolerations", "overhead"))
    name = fields.text(found.get("name"), f"{where}.name", limit=253)
    if any(names.label_problem(part) for part in name.split(".")):
        raise InvalidShim(
            f"{where}.name", f"{name!r} is no Kubernetes name", "write for example wasmtime-spin-v2"
        )
    handler = fields.text(found.get("handler"), f"{where}.handler", limit=1024)
    problem = names.handler_problem(handler)
    if problem is not None:
        shown = handler if len(handler) <= names.MAX_LABEL else handler[: names.MAX_LABEL] + "…"
        raise InvalidShim(
            f"{where}.handler", f"{shown!r} {problem}", "choose a handler like spin-v2"
        )
    tolerations = fields.sequence(found.get("tolerations", []), f"{where}.tolerations")
    return RuntimeClass(
        name=name,
        handler=handler,
        tolerations=tuple(fields.mapping(t, f"{where}.tolerations") for t in tolerations),
        overhead=fields.mapping(found.get("overhead", {}), f"{where}.overhead"),
    )


def _options(found: object) -> Mapping[str, OptionValue]:
    where = "spec.containerdRuntimeOptions"
    options = fields.mapping({} if found is None else found, where)
    return {
        fields.option_key(key, where): fields.option_value(value, f"{where}.{key}")
        for key, value in sorted(options.items())
    }


def _node_selector(found: object) -> Mapping[str, str] | None:
    if found is None:
        return None
    where = "spec.nodeSelector"
    selector = fields.mapping(found, where)
    return {
        key: fields.text(value, f"{where}.{key}", empty=True) for key, value in selector.items()
    }


def _rollout(found: object) -> Rollout:
    if found is None:
        return Rollout()
    where = "spec.rolloutStrategy"
    strategy = fields.mapping(found, where)
    fields.known(strategy, where, ("type", "rolling", "paused", "disruption"))
    rolling = fields.mapping(strategy.get("rolling") or {}, f"{where}.rolling")
    fields.known(rolling, f"{where}.rolling", ("maxUpdate", "canary", "maxFailures"))
    canary = fields.mapping(rolling.get("canary") or {}, f"{where}.rolling.canary")
    fields.known(canary, f"{where}.rolling.canary", ("nodes", "soakSeconds"))
    failures = rolling.get("maxFailures")
    return Rollout(
        type="recreate" if _rollout_type(strategy) == "recreate" else "rolling",
        max_update=fields.count(
            rolling.get("maxUpdate", "10%"), f"{where}.rolling.maxUpdate", least=1
        ),
        canary_nodes=fields.whole(canary.get("nodes", 1), f"{where}.rolling.canary.nodes", least=1),
        soak_seconds=fields.whole(
            canary.get("soakSeconds", 30), f"{where}.rolling.canary.soakSeconds", least=0
        ),
        max_failures=None
        if failures is None
        else fields.count(failures, f"{where}.rolling.maxFailures", least=1),
        paused=fields.flag(strategy.get("paused", False), f"{where}.paused"),
        disruption="Allow" if _disruption(strategy) == "Allow" else "WaitForIdle",
    )


def _rollout_type(strategy: Mapping[str, Any]) -> str:
    kinds = {"rolling": "rolling", "recreate": "recreate"}
    return fields.choice(strategy.get("type", "rolling"), "spec.rolloutStrategy.type", kinds)


def _disruption(strategy: Mapping[str, Any]) -> str:
    kinds = {"WaitForIdle": "WaitForIdle", "Allow": "Allow"}
    found = strategy.get("disruption", "WaitForIdle")
    return fields.choice(found, "spec.rolloutStrategy.disruption", kinds)
