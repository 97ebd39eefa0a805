"""The dead man's switch: what the host does by itself when the agent is gone for good.

Pure but for one look at each file's mode. Called by `forward` before the trial.
"""

from __future__ import annotations

from rcm_agent import ports, records, settings
from rcm_agent.host import files

NEW_FILE_MODE = 0o644


def commands(
    operation: records.Operation, kernel: ports.Kernel, *, unit: str
) -> tuple[tuple[str, ...], ...]:
    """Return the programs to run: files back to their state before the trial, then a restart.

    Programs of coreutils and systemctl only. Each stands alone: one that fails does not stop the
    next, so the restart happens in any case.
    """
    found: list[tuple[str, ...]] = []
    for change in operation.files:
        if change.attached != change.trial:
            found.extend(_restore(change, kernel))
    return (
        *found,
        ("/bin/systemctl", "reset-failed", unit),
        ("/bin/systemctl", "restart", unit),
    )


def _restore(change: records.FileChange, kernel: ports.Kernel) -> tuple[tuple[str, ...], ...]:
    if not change.attached:
        return (("/bin/rm", "-f", change.path),)
    target = kernel.realpath(change.path)
    temporary = target + files.TEMPORARY
    stat = kernel.lstat(target)
    mode = stat.mode if stat is not None else NEW_FILE_MODE
    saved = f"{settings.BACKUP}/{change.attached}"
    return (
        ("/usr/bin/install", "-m", f"{mode:04o}", saved, temporary),
        ("/bin/mv", "-f", "-T", temporary, target),
    )
