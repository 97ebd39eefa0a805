"""`remove`: take Shims off this host, so that nothing of them stays.

Called by `cli`. The order: nobody uses it → configuration out → containerd restarts and is
verified → stable path and binary out.
"""

from __future__ import annotations

from collections.abc import Sequence

from rcm_agent import apply, errors, gate, ports, records, session, settings
from rcm_agent.host import files
from rcm_agent.work import Work

BUNDLES = "/run/containerd/io.containerd.runtime.v2.task"
"""Where containerd keeps, for each running shim, the path of its binary. A path that a bundle names
must stay valid: containerd deletes the bundle of a shim whose binary is gone (facts, src)."""


def remove(work: Work, names: Sequence[str]) -> tuple[records.Installed, ...]:
    """Remove the named Shims, and return what this host has then.

    Raises:
        ManifestError: a name is not installed.
        Blocked: pods use a Shim, or the restart would end other containers.
    """
    session.recover(work)
    gone = _find(work, names)
    _free(work, gone)
    proposal = apply.without(work, frozenset(shim.name for shim in gone))
    if proposal.blockers and not work.chosen.allow_disruption:
        raise errors.Blocked(
            f"a restart of containerd would end running containers: {proposal.blockers}",
            advice="stop them first, or say --disruption allow",
        )
    apply.carry_out(work, proposal)
    return work.current.shims


def _find(work: Work, names: Sequence[str]) -> tuple[records.Installed, ...]:
    have = {shim.name: shim for shim in work.current.shims}
    missing = [name for name in names if name not in have]
    if missing:
        raise errors.ManifestError(
            f"no Shim {', '.join(missing)} is installed on this host",
            advice=f"installed are: {', '.join(sorted(have)) or 'none'}",
        )
    return tuple(have[name] for name in dict.fromkeys(names))


def _free(work: Work, gone: tuple[records.Installed, ...]) -> None:
    """Return when nobody uses the Shims any more."""
    users = users_of(work.host, frozenset(shim.handler for shim in gone))
    if users and not work.chosen.allow_disruption:
        raise errors.Blocked(
            f"running containers use the Shim: {gate.names(users)}",
            advice="stop them first, or say --disruption allow",
        )
    gate.stop(work.host, users, tell=work.tell)


def users_of(host: ports.Host, handlers: frozenset[str]) -> tuple[ports.Container, ...]:
    """Return the running containers of these handlers, those outside of CRI too."""
    sandboxes = host.containerd.sandboxes(timeout_s=gate.ASK_TIMEOUT_S)
    ours = {s.id for s in sandboxes if s.handler in handlers and s.ready}
    paths = {settings.link(handler) for handler in handlers}
    bundles = _bundles(host.kernel, paths)
    running = host.containerd.containers(timeout_s=gate.ASK_TIMEOUT_S)
    return tuple(c for c in running if c.sandbox in ours or (c.namespace, c.id) in bundles)


def _bundles(kernel: ports.Kernel, paths: set[str]) -> frozenset[tuple[str, str]]:
    """Return (namespace, id) of every bundle that names one of `paths`."""
    if kernel.lstat(BUNDLES) is None:
        return frozenset()
    found = (
        (namespace, task)
        for namespace in kernel.listdir(BUNDLES)
        for task in kernel.listdir(f"{BUNDLES}/{namespace}")
    )
    return frozenset(pair for pair in found if _shim_path(kernel, *pair) in paths)


def _shim_path(kernel: ports.Kernel, namespace: str, task: str) -> str:
    path = f"{BUNDLES}/{namespace}/{task}/shim-binary-path"
    try:
        return (files.read(kernel, path) or b"").decode(errors="replace").strip()
    except errors.HostError:
        return ""
