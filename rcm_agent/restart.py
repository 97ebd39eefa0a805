"""Restarting containerd: the budget before, the waiting after.

Called by `forward` and `back`. "The unit is active" proves nothing: with a broken CRI table the
daemon stays up and answers UNIMPLEMENTED, so it is CRI that is asked.
"""

from __future__ import annotations

from rcm_agent import errors, look, ports, settings
from rcm_agent.work import Work

POLL_S = 0.05
"""Between two questions to a containerd that is starting; it needs 0.2 to 0.4 s."""
UNIMPLEMENTED_S = 3.0
"""A daemon that answers UNIMPLEMENTED for so long has no CRI and will not get one: its gRPC server
starts after its plugins (containerd cmd/containerd/server)."""


def restart(work: Work, *, refuse: bool) -> None:
    """Restart the unit and count it; with `refuse` only within the budget.

    Raises:
        BudgetSpent: containerd was restarted too often; nothing happened.
        UnitError: systemd could not.
    """
    machine = work.host.machine
    boot_id, now = machine.boot_id(), machine.uptime_s()
    spent = work.memory.restarts(boot_id=boot_id, uptime_s=now)
    if refuse and len(spent) >= settings.RESTART_BUDGET:
        wait_s = settings.RESTART_WINDOW_S - (now - spent[0])
        raise errors.BudgetSpent(
            f"containerd was restarted {len(spent)} times within "
            f"{settings.RESTART_WINDOW_S / 60:.0f} minutes",
            advice=f"find out why, then run again in {wait_s:.0f} s",
        )
    work.memory.count_restart(boot_id=boot_id, uptime_s=now)
    work.host.containerd.close()
    with work.host.containerd.heard():
        work.host.systemd.restart(work.site.unit, timeout_s=work.chosen.timeout_s)


def await_cri(work: Work, *, network: bool) -> ports.CriStatus:
    """Wait until CRI is ready again; with `network` until the pod network is, too.

    Raises:
        HostError: it was not within `timeout_s`.
        CriError: CRI is not implemented, so it will not come.
    """
    with work.host.containerd.heard():
        return _answer(work, network=network)


def _answer(work: Work, *, network: bool) -> ports.CriStatus:
    machine = work.host.machine
    began = machine.uptime_s()
    while True:
        waited = machine.uptime_s() - began
        try:
            status = work.host.containerd.status(timeout_s=look.STATUS_TIMEOUT_S)
            if status.runtime_ready and (status.network_ready or not network):
                return status
            reason = "CRI answers, but is not ready"
        except errors.CriError as error:
            reason = error.cause
            if error.code == "UNIMPLEMENTED" and waited > UNIMPLEMENTED_S:
                raise
        if waited > work.chosen.timeout_s:
            raise errors.HostError(
                f"containerd did not come back within {work.chosen.timeout_s:.0f} s: {reason}",
                advice=f"look at the journal of {work.site.unit}",
            )
        work.host.containerd.close()
        machine.wait(POLL_S)
