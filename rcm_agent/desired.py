"""From Shims to what this node shall have: the artifact for its platform, the options, conflicts.

Pure. Called by `commands` with the parsed manifests and the facts of the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rcm_agent import errors, records
from rcm_api import shim as shims

CGROUP_OPTION = "SystemdCgroup"
FIRST_WITH_OPTIONS = (1, 7, 0)
"""containerd 1.6 hands no options to such shims, which then fail with "missing field
`systemd_cgroup`" (runwasi's containerd-shimkit; facts from the lab on 1.6.20)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One Shim, as this node shall have it."""

    name: str
    handler: str
    digest: str
    artifact: shims.Artifact
    options: Mapping[str, shims.OptionValue]


def select(found: Sequence[shims.Shim], *, arch: str) -> tuple[Wanted, ...]:
    """Choose each Shim's artifact for this node.

    Raises:
        UnsupportedHost: a Shim has none for it.
        ManifestError: two Shims share a name or a handler.
    """
    wanted = tuple(_select(shim, arch) for shim in found)
    _refuse_twins([(w.name, w.handler) for w in wanted])
    return wanted


def refuse_conflicts(installed: Sequence[records.Installed], wanted: Sequence[Wanted]) -> None:
    """Raise ManifestError when a new Shim claims the handler of another that is installed."""
    names = {w.name for w in wanted}
    others = [(s.name, s.handler) for s in installed if s.name not in names]
    _refuse_twins([*others, *((w.name, w.handler) for w in wanted)])


def effective_options(
    wanted: Mapping[str, shims.OptionValue],
    *,
    systemd_cgroup: bool | None,
    release: tuple[int, int, int],
) -> tuple[Mapping[str, shims.OptionValue], tuple[str, ...]]:
    """Return the options to write and the warnings about them.

    `systemd_cgroup` is what the node's runc uses; a Shim that is silent follows it.
    """
    if release < FIRST_WITH_OPTIONS:
        text = f"containerd {'.'.join(map(str, release))} hands no options to shims: left out"
        return {}, ((text,) if wanted else ())
    if CGROUP_OPTION not in wanted:
        return ({**wanted, CGROUP_OPTION: True} if systemd_cgroup else dict(wanted)), ()
    if systemd_cgroup is None or wanted[CGROUP_OPTION] == systemd_cgroup:
        return dict(wanted), ()
    text = (
        f"{CGROUP_OPTION} is {wanted[CGROUP_OPTION]} in the Shim and {systemd_cgroup} for runc on "
        "this node: pods of this Shim will have no resource metrics; leave it out to follow the node"
    )
    return dict(wanted), (text,)


def _select(shim: shims.Shim, arch: str) -> Wanted:
    artifact = shims.choose(shim, os="linux", arch=arch)
    if artifact is None:
        have = ", ".join(sorted({f"{a.os}/{a.arch}" for a in shim.artifacts}))
        raise errors.UnsupportedHost(
            f"Shim {shim.name} has no artifact for linux/{arch}, only for {have}",
            advice=f"add a platforms entry with arch: {arch}",
        )
    return Wanted(
        name=shim.name,
        handler=shim.runtime_class.handler,
        digest=shims.digest(shim, artifact),
        artifact=artifact,
        options=shim.options,
    )


def _refuse_twins(pairs: Sequence[tuple[str, str]]) -> None:
    by_handler: dict[str, str] = {}
    seen: set[str] = set()
    for name, handler in pairs:
        if name in seen:
            raise errors.ManifestError(
                f"Shim {name} is given twice", advice="keep one of the two documents"
            )
        seen.add(name)
        other = by_handler.setdefault(handler, name)
        if other != name:
            raise errors.ManifestError(
                f"Shims {other} and {name} both claim the handler {handler!r}",
                advice=f"give {name} another spec.runtimeClass.handler, or remove {other} first",
            )
