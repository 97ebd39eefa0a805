"""What /proc says of one process, and which processes may never be ended.

Called by `machine` where /proc is the host's, and by `pod_machine`, which has the host read it.
"""

from __future__ import annotations

from pathlib import Path

from rcm_agent import ports

_PARENT, _STARTED = 1, 19
"""Of /proc/PID/stat after the command, which may hold anything: fields 4 and 22 of proc(5)."""


def read(directory: Path) -> ports.Process | None:
    """Return the process that /proc/PID shows; None when it has just ended."""
    try:
        words = (directory / "cmdline").read_bytes()
        stat = (directory / "stat").read_bytes()
    except OSError:
        return None
    return made(
        int(directory.name), words, stat, exe=_link(directory / "exe"), space=_space(directory)
    )


def made(pid: int, words: bytes, stat: bytes, *, exe: str, space: str) -> ports.Process:
    """Return a process from the bytes of its `cmdline` and `stat`."""
    fields = stat.rpartition(b")")[2].split()
    argv = tuple(w.decode(errors="surrogateescape") for w in words.split(b"\0")[:-1])
    whole = len(fields) > _STARTED
    return ports.Process(
        pid=pid,
        exe=exe,
        argv=argv,
        parent=int(fields[_PARENT]) if whole else 0,
        started=int(fields[_STARTED]) if whole else 0,
        space=space,
    )


def check(process: ports.Process) -> None:
    """Refuse what must never be ended.

    Raises:
        ValueError: it is init, or no single process, or it is not known which one is meant.
    """
    if process.pid <= 1 or process.started <= 0:
        raise ValueError(f"not a process to end: {process.pid}, started {process.started}")


def _space(directory: Path) -> str:
    return _link(directory / "ns" / "pid")


def _link(path: Path) -> str:
    """Return a link's text; of a kernel thread, or what has just ended, there is none."""
    try:
        return str(path.readlink())
    except OSError:
        return ""
