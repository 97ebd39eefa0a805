"""The gate before a restart of containerd: whose containers would it end?

Called by `commands` before anything is touched and by `transaction` right before the restart.
containerd 1.7 and later asks each shim for its processes while it starts, and cleans up after those
that do not answer `Pids`: every shim built on runwasi today (facts from the lab on 1.7.24, 2.1.9
and 2.3.7).
"""

from __future__ import annotations

from rcm_agent import errors, ports
from rcm_agent.report import Reporter

ASK_TIMEOUT_S = 10.0
"""For all containers of a node; a hundred shims answer within a second."""
STOP_TIMEOUT_S = 40.0
"""For one container: Kubernetes' default grace period of 30 s and some."""
NAMED = 5
"""So many containers are named; the rest is counted."""


def lost(host: ports.Host) -> tuple[ports.Container, ...]:
    """Return the running containers that a restart would end."""
    running = host.containerd.containers(timeout_s=ASK_TIMEOUT_S)
    return tuple(c for c in running if not c.survives_restart)


def names(containers: tuple[ports.Container, ...]) -> str:
    """Return the containers' names for a message."""
    found = sorted({c.name for c in containers})
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return ", ".join(found[:NAMED]) + more


def clear(host: ports.Host, *, allow: bool, tell: Reporter) -> None:
    """Return when a restart ends nobody's container.

    With `allow` they are stopped cleanly first, so that no process stays behind.

    Raises:
        Blocked: a restart would end containers; nothing was touched.
    """
    containers = lost(host)
    if not containers:
        return
    if not allow:
        raise errors.Blocked(
            f"a restart of containerd would end running containers: {names(containers)}",
            advice="stop them first, or say --disruption allow",
        )
    stop(host, containers, tell=tell)


def stop(host: ports.Host, containers: tuple[ports.Container, ...], *, tell: Reporter) -> None:
    """End containers cleanly, each sandbox once."""
    done: set[str] = set()
    for container in containers:
        if container.sandbox and container.sandbox in done:
            continue
        done.add(container.sandbox)
        tell.note("warning", f"stopping {container.name}", container=container.id)
        host.containerd.stop(container, timeout_s=STOP_TIMEOUT_S)
