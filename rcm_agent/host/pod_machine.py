"""The machine as an agent in a pod sees it (`ports.Machine`): processes are listed by the host.

A pod has a PID namespace of its own. Two programs of the host look at /proc: the first at all
processes, briefly, the second closely at those that matter; a third ends some. Whatever a process
may choose itself (its name, its arguments) travels in base64, so that it cannot pose as another.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterable, Mapping, Sequence

from rcm_agent import errors, ports
from rcm_agent.host import processes
from rcm_agent.host.machine import RealMachine
from rcm_agent.host.systemd import RealSystemd

LOOK_S = 20.0
"""For a look at thousands of processes on a busy node; 300 take 0.05 s."""
HOME = "/opt/rcm/"

_ALL = r"""
grep -s '^PPid:' /proc/[0-9]*/status
printf '\0'
find /proc -mindepth 2 -maxdepth 2 -path '/proc/[0-9]*' -name exe -printf '%h %l\0' 2>/dev/null
true
"""
"""`status` escapes the name of a process, so a line is one process's."""

_CLOSELY = r"""
for p; do
  d=/proc/$p
  stat=$(base64 -w0 <$d/stat) && words=$(base64 -w0 <$d/cmdline) &&
    echo "$p $stat $(readlink $d/exe | base64 -w0) $(readlink $d/ns/pid) $words"
done 2>/dev/null
true
"""

_END = r"""
started() { shift 19; echo "$1"; }
while [ $# -ge 2 ]; do
  stat=$(cat /proc/$1/stat 2>/dev/null) &&
    [ "$(started ${stat##*) })" = "$2" ] && kill -9 "$1"
  shift 2
done
true
"""
"""Field 22 of proc(5), the 20th after the command, tells whether the pid is still the same one's."""

_FIELDS = 5


class PodMachine(RealMachine):
    """The host of a pod."""

    def __init__(self, systemd: RealSystemd, machine: RealMachine) -> None:
        """Ask through this service manager; time and waiting are `machine`'s."""
        super().__init__(stop=machine.stop)
        self._systemd = systemd

    def processes(self, also: Collection[int] = ()) -> tuple[ports.Process, ...]:
        """Those that run a program of ours, what descends from them, and `also`; by pid."""
        parents, programs = _overview(self._run(_ALL))
        if len(parents) < len(also):
            raise errors.HostError(
                "the host does not list its processes",
                advice="check that grep and find are on the host, and /proc is mounted there",
            )
        ours = {pid for pid, program in programs.items() if program.startswith(HOME)}
        pids = sorted(_with_descendants(ours, parents) | (set(also) & parents.keys()))
        if not pids:
            return ()
        said = self._run(_CLOSELY, *map(str, pids))
        return tuple(found for line in said.splitlines() if (found := _process(line)) is not None)

    def end(self, doomed: Sequence[ports.Process]) -> None:
        """End processes (SIGKILL); one that is gone, or whose pid is another's now, is fine."""
        for process in doomed:
            processes.check(process)
        if doomed:
            self._run(_END, *(str(n) for p in doomed for n in (p.pid, p.started)))

    def _run(self, script: str, *words: str) -> bytes:
        done = self._systemd.run(("/bin/sh", "-c", script, "sh", *words), timeout_s=LOOK_S)
        if done.exit_code != 0:
            said = done.stderr.decode(errors="replace") or f"exit code {done.exit_code}"
            raise errors.HostError(
                f"the host's shell cannot look at /proc: {errors.clip(said)}",
                advice="check /bin/sh and coreutils on the host",
            )
        return done.stdout


def _overview(said: bytes) -> tuple[Mapping[int, int], Mapping[int, str]]:
    """Return parents and programs by pid."""
    lines, *links = said.split(b"\0")
    parents: dict[int, int] = {}
    for line in lines.decode(errors="replace").splitlines():
        path, _, parent = line.partition(":PPid:")
        parents[int(path.split("/")[2])] = int(parent)
    programs: dict[int, str] = {}
    for link in links[:-1]:
        path, _, program = link.decode(errors="surrogateescape").partition(" ")
        programs[int(path.split("/")[2])] = program
    return parents, programs


def _with_descendants(roots: Iterable[int], parents: Mapping[int, int]) -> set[int]:
    found = set(roots)
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def _process(line: bytes) -> ports.Process | None:
    fields = line.split(b" ")
    if len(fields) != _FIELDS:
        return None
    pid, stat, exe, space, words = fields
    try:
        link = base64.b64decode(exe).decode(errors="surrogateescape").removesuffix("\n")
        return processes.made(
            int(pid),
            base64.b64decode(words),
            base64.b64decode(stat),
            exe=link,
            space=space.decode(),
        )
    except (ValueError, binascii.Error):
        return None
