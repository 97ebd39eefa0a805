"""`status`: what this host has, and whether it still is as it was proven. Changes nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from rcm_agent import errors, fetch, plan, settings
from rcm_agent.work import Work


@dataclass(frozen=True, slots=True)
class ShimStatus:
    """One Shim of this host."""

    name: str
    handler: str
    state: str
    """`Ready` or `Drifted`."""
    problems: tuple[str, ...]
    version: str
    artifact: str
    proven: str


@dataclass(frozen=True, slots=True)
class HostStatus:
    """The host."""

    containerd: str
    unit: str
    config: str
    strategy: str
    pending: str
    """Step at which an operation was cut, empty when none is pending."""
    configuration: str
    """`as proven`, `changed since`, `none of ours`, or why it cannot be read."""
    shims: tuple[ShimStatus, ...]

    def document(self) -> dict[str, object]:
        """Return it for JSON."""
        return asdict(self)


def status(work: Work) -> HostStatus:
    """Look at the host and compare it with the journal."""
    observed = work.observe()
    operation = work.memory.journal.operation
    return HostStatus(
        containerd=observed.status.runtime_version if observed.status else "CRI does not answer",
        unit=work.site.unit,
        config=work.site.config,
        strategy=work.current.strategy,
        pending=operation.step if operation else "",
        configuration=_configuration(work),
        shims=tuple(_shim(work, shim.name, observed) for shim in work.current.shims),
    )


def render(found: HostStatus) -> str:
    """Return the status for a person."""
    lines = [
        f"containerd     {found.containerd} ({found.unit})",
        f"configuration  {found.config}: {found.configuration}"
        + (f", {found.strategy}" if found.strategy else ""),
    ]
    if found.pending:
        lines.append(f"pending        cut at '{found.pending}': run 'rcm-agent recover'")
    for shim in found.shims:
        lines.append(
            f"shim           {shim.name}: {shim.state}, handler {shim.handler}, "
            f"version {shim.version or 'unknown'}, {shim.proven or 'not proven'}"
        )
        lines.extend(f"               {problem}" for problem in shim.problems)
    if not found.shims:
        lines.append("shim           none installed")
    return "\n".join(lines) + "\n"


def _configuration(work: Work) -> str:
    if not work.current.shims:
        return "none of ours"
    try:
        tree = work.tree(work.current.containerd)
    except errors.AgentError as error:
        return error.cause
    return "as proven" if plan.fingerprint(tree) == work.current.tree else "changed since"


def _shim(work: Work, name: str, observed: plan.Observed) -> ShimStatus:
    shim = next(s for s in work.current.shims if s.name == name)
    problems: list[str] = []
    if observed.status is None:
        problems.append("CRI does not answer")
    elif shim.handler not in observed.status.handlers:
        problems.append("containerd has not loaded the handler")
    if observed.links.get(settings.link(shim.handler)) != shim.path:
        problems.append(f"{settings.link(shim.handler)} does not point to the store")
    if not fetch.intact(work, shim):
        problems.append("the binary in the store is missing or damaged")
    return ShimStatus(
        name=shim.name,
        handler=shim.handler,
        state="Drifted" if problems else "Ready",
        problems=tuple(problems),
        version=shim.version,
        artifact=shim.artifact,
        proven=shim.proven,
    )
