"""Which containerd of this host serves Kubernetes: its unit, program, configuration and socket.

Pure: `look` gathers `Clues`, `locate` decides and says by which evidence. Distributions
that render the configuration themselves are refused until their own place for it is supported
(design §2.2 `Supported=False`): an edit of a rendered file would be lost at the next start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rcm_agent import errors, ports, settings

DEFAULT_CONFIG = "/etc/containerd/config.toml"
DEFAULT_SOCKET = "/run/containerd/containerd.sock"
DEFAULT_UNIT = "containerd.service"

_CONFIG_FLAGS = ("--config", "-c")
_ADDRESS_FLAGS = ("--address", "-a")
_RELEASE_PARTS = 3

RENDERED: Mapping[str, tuple[str, str]] = {
    "/var/lib/rancher/k3s/agent/etc/containerd/config.toml": (
        "k3s",
        "k3s renders it at every start",
    ),
    "/var/lib/rancher/rke2/agent/etc/containerd/config.toml": (
        "RKE2",
        "RKE2 renders it at every start",
    ),
    "/var/snap/microk8s/current/args/containerd-template.toml": (
        "MicroK8s",
        "the snap renders it at every start",
    ),
    "/etc/k0s/containerd.toml": ("k0s", "k0s renders it"),
}
"""Files that only these distributions have (facts/distributions: detection heuristics)."""

UNITS: Mapping[str, str] = {
    "k3s.service": "k3s",
    "k3s-agent.service": "k3s",
    "rke2-server.service": "rke2",
    "rke2-agent.service": "rke2",
    "k0scontroller.service": "k0s",
    "k0sworker.service": "k0s",
    "snap.microk8s.daemon-containerd.service": "microk8s",
}
"""Units that run a containerd of their own, and the distribution whose they are."""

OTHER_SYSTEMS: Mapping[str, str] = {
    "talos": "Talos takes runtimes as system extensions",
    "bottlerocket": "Bottlerocket has a read-only system and no such setting",
}
"""`ID` of /etc/os-release, and why we cannot serve it."""


@dataclass(frozen=True, slots=True)
class Clues:
    """What was seen on the host."""

    unit: ports.Unit
    present: frozenset[str]
    """Those paths of `PROBED` that exist."""
    os_id: str
    """`ID` of /etc/os-release, empty when unknown."""
    active: frozenset[str] = frozenset()
    """Those of `UNITS` that run."""


CRIO_SOCKET = "/run/crio/crio.sock"
PROBED = (*RENDERED, CRIO_SOCKET)


@dataclass(frozen=True, slots=True)
class Site:
    """Where containerd lives on this host."""

    unit: str
    program: str
    """Absolute path of containerd."""
    config: str
    socket: str
    evidence: str


def locate(clues: Clues, chosen: settings.Settings) -> Site:
    """Decide, with the person's own settings first.

    Raises:
        UnsupportedHost: it is a host that we cannot serve, with the reason.
    """
    unit = clues.unit
    if not (chosen.config and chosen.unit):
        _refuse_unsupported(clues)
    if unit.load_state != "loaded" or not unit.argv:
        raise errors.UnsupportedHost(
            f"systemd has no unit {unit.name!r} (load state {unit.load_state!r})",
            advice="name the unit that runs containerd with --unit",
        )
    config = chosen.config or _flag(unit.argv, _CONFIG_FLAGS) or DEFAULT_CONFIG
    return Site(
        unit=unit.name,
        program=unit.argv[0],
        config=config,
        socket=chosen.socket or _flag(unit.argv, _ADDRESS_FLAGS) or DEFAULT_SOCKET,
        evidence=f"{unit.name} runs {' '.join(unit.argv)}",
    )


def distribution(clues: Clues) -> str:
    """Return the Kubernetes distribution that owns this host's containerd, else the system's ID."""
    return next((UNITS[name] for name in sorted(clues.active)), clues.os_id)


def release(text: str) -> tuple[int, int, int]:
    """Return containerd's release from its version text (`v2.1.9`, `1.6.20~ds1`).

    Raises:
        UnsupportedHost: the text begins with no version.
    """
    numbers: list[int] = []
    for part in text.lstrip("v").split(".")[:_RELEASE_PARTS]:
        digits = ""
        for char in part:
            if not char.isdigit():
                break
            digits += char
        if not digits:
            break
        numbers.append(int(digits))
    if len(numbers) < _RELEASE_PARTS:
        raise errors.UnsupportedHost(
            f"containerd calls itself {errors.clip(text)!r}, which is no version",
            advice="install a released containerd (1.6 or later)",
        )
    return numbers[0], numbers[1], numbers[2]


def _refuse_unsupported(clues: Clues) -> None:
    for path, (name, why) in RENDERED.items():
        if path in clues.present:
            raise errors.UnsupportedHost(
                f"this is a {name} node: {path} exists, and {why}",
                advice="not supported yet; --config together with --unit overrides this check",
            )
    for name in sorted(clues.active):
        raise errors.UnsupportedHost(
            f"this is a {UNITS[name]} node: {name} runs a containerd of its own, "
            "whose configuration it renders at every start",
            advice="not supported yet; --config together with --unit overrides this check",
        )
    if CRIO_SOCKET in clues.present:
        raise errors.UnsupportedHost(
            "this node runs CRI-O, which does not run containerd shims",
            advice="use a node with containerd",
        )
    if clues.os_id in OTHER_SYSTEMS:
        raise errors.UnsupportedHost(
            OTHER_SYSTEMS[clues.os_id], advice="use the way of that distribution"
        )


def _flag(argv: tuple[str, ...], flags: tuple[str, ...]) -> str:
    for index, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name in flags:
            if equals:
                return value
            return argv[index + 1] if index + 1 < len(argv) else ""
    return ""
