"""One run of the agent on one host: the lock, the memory, the site, and recovery first.

Called by `cli`, used by every command. Two agents on one host (an old and a new pod, a person and
a DaemonSet) exclude each other here.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from rcm_agent import errors, look, ports, settings, transaction
from rcm_agent.distro import site
from rcm_agent.host import files, memory
from rcm_agent.report import Reporter
from rcm_agent.work import Work


def locate(host: ports.Host, chosen: settings.Settings) -> site.Site:
    """Find containerd on the host.

    Raises:
        UnsupportedHost: this host cannot be served, or not from this pod.
    """
    where = site.locate(look.clues(host, chosen), chosen)
    look.require_reach(host, where)
    return where


@contextmanager
def opened(
    host: ports.Host, where: site.Site, *, chosen: settings.Settings, tell: Reporter
) -> Generator[Work]:
    """Take the lock and read the journal.

    Raises:
        Busy: another agent is at work on this host.
        HostError: the lock cannot be taken, or the journal not be used.
    """
    handle = lock(host)
    try:
        yield Work(host, where, memory.Memory(host.kernel), chosen, tell)
    finally:
        host.kernel.close(handle)


def lock(host: ports.Host) -> int:
    """Take the lock, and return its handle; closing that lets go.

    Raises:
        Busy: another agent is at work on this host.
        HostError: the lock cannot be taken.
    """
    files.make_directory(host.kernel, settings.RUN)
    handle = files.lock(host.kernel, settings.LOCK)
    if handle is None:
        raise errors.Busy(
            f"another agent holds {settings.LOCK}", advice="wait until it is done, then run again"
        )
    return handle


def recover(work: Work) -> str:
    """Finish or undo what a killed run left; says which, empty when there was nothing."""
    work.remove_temporary()
    outcome = transaction.recover(work)
    if outcome:
        work.tell.note("warning", outcome)
    work.memory.forget(keep=memory.referenced(work.current))
    return outcome
