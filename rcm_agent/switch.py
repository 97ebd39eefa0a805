"""The dead man's switch: what the host does by itself when the agent is gone for good.

Pure but for one look at each file's mode. Called by `forward` before the trial, and by `back`.
"""

from __future__ import annotations

from rcm_agent import ports, records, settings
from rcm_agent.host import files

NEW_FILE_MODE = 0o644

Programs = tuple[tuple[str, ...], ...]


def commands(operation: records.Operation, kernel: ports.Kernel, *, unit: str) -> Programs:
    """Return the programs to run: links and files back to their state before the trial.

    containerd restarts only where the operation restarts it: an upgrade never does, and its links
    alone are what is put back (files are written after its proof, without changing the effect).
    Programs of coreutils and systemctl only. Each stands alone: one that fails does not stop the
    next, so the restart happens in any case.
    """
    links = [program for change in operation.links for program in _swap_back(change)]
    if records.Step.RESTART not in operation.steps:
        return tuple(links)
    changed = (change for change in operation.files if change.attached != change.trial)
    return (
        *links,
        *(program for change in changed for program in _restore(change, kernel)),
        ("/bin/systemctl", "reset-failed", unit),
        ("/bin/systemctl", "restart", unit),
    )


def _swap_back(change: records.LinkChange) -> Programs:
    """A path that was not there before stays: nothing names it once the files are back."""
    if change.before is None or change.after is None:
        return ()
    temporary = change.path + files.TEMPORARY
    return (
        ("/bin/ln", "-sfn", change.before, temporary),
        ("/bin/mv", "-f", "-T", temporary, change.path),
    )


def _restore(change: records.FileChange, kernel: ports.Kernel) -> Programs:
    if not change.attached:
        return (("/bin/rm", "-f", change.path),)
    target = kernel.realpath(change.path)
    temporary = target + files.TEMPORARY
    stat = kernel.lstat(target)
    mode = stat.mode if stat is not None else NEW_FILE_MODE
    saved = f"{settings.BACKUP}/{change.attached}"
    return (
        ("/usr/bin/install", "-m", f"{mode:04o}", saved, temporary),
        # Or a power cut soon after the rename may boot a file of the right name and no bytes.
        ("/bin/sync", temporary),
        ("/bin/mv", "-f", "-T", temporary, target),
    )
