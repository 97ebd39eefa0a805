"""Ends processes of our shims that containerd has forgotten, so that pods can come back.

Called by `loop` as `starts` says: soon after each start of containerd, later now and then.
containerd 1.7 and later forgets, while it starts, every container whose shim does not answer `Pids`
(each shim built on runwasi today), and leaves its processes behind: they hold memory and, worse,
the port that the pod's next container wants. What is left, seen on 1.7.24 and 2.3.7:

    shim (-id SANDBOX)          1.7 forgets the sandbox with all that is in it: every process of the
    ├── shim (zygote)           shim is an orphan
    ├── /pause                  2.x keeps the sandbox's own task: the shim serves it on, and only the
    └── guest                   guests, each in a PID namespace of its own, are orphans. When the pod
                                goes, containerd deletes the bundle and forgets the sandbox; the
                                shim stays, as nobody ever told it that its guest ended

A bundle is made before its shim starts. So a shim that containerd does not know, and whose bundle
is gone, is an orphan whenever it was started; with a bundle, only if that was before containerd.

`find` is pure and errs on the side of leaving alone; whatever it names must be named twice, some
seconds apart, before it is ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rcm_agent import ports, remove, settings
from rcm_agent.work import Work

ASK_TIMEOUT_S = 10.0
"""As at the gate."""
AGAIN_S = 3.0
"""Between the two looks: a container that is just being made or deleted is known or gone then. A
guess; containerd itself does either within 0.3 s."""

_STORE = f"{settings.STORE}/"
_NAMES = (_STORE, f"{settings.BIN}/containerd-shim-")

Processes = tuple[ports.Process, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """The host's processes, and what containerd knows of them; looked at in this order."""

    containerd: int
    """Its pid."""
    processes: Processes
    tasks: tuple[ports.Container, ...]
    sandboxes: tuple[ports.Sandbox, ...]
    unbundled: frozenset[str] = frozenset()
    """Those ids of shims whose bundle is surely gone."""


def end_orphans(work: Work) -> int:
    """End them, and return how many processes that were.

    Takes `AGAIN_S` and two questions to the host when there may be any, one question otherwise.

    Raises:
        HostError: systemd, containerd or the host's processes could not be asked.
    """
    first = find(_look(work))
    if not first:
        return 0
    work.host.machine.wait(AGAIN_S)
    known = {(p.pid, p.started) for p in first}
    again = tuple(p for p in find(_look(work)) if (p.pid, p.started) in known)
    if again:
        pids = ", ".join(str(p.pid) for p in again)
        work.tell.note("warning", f"ending processes that containerd has forgotten: {pids}")
        work.host.machine.end(again)
    return len(again)


def _look(work: Work) -> Seen:
    pid = work.host.systemd.unit(work.site.unit).main_pid
    found = work.host.machine.processes(also=[pid])
    if not any(_sandbox(p) for p in found):
        return Seen(pid, (), (), ())
    tasks = work.host.containerd.containers(timeout_s=ASK_TIMEOUT_S)
    return Seen(
        containerd=pid,
        processes=found,
        tasks=tasks,
        sandboxes=work.host.containerd.sandboxes(timeout_s=ASK_TIMEOUT_S),
        unbundled=_unbundled(work.host.kernel, found, tasks),
    )


def _unbundled(
    kernel: ports.Kernel, processes: Processes, tasks: tuple[ports.Container, ...]
) -> frozenset[str]:
    """Return the ids of shims that have no bundle in any namespace that a shim of that id names.

    Where no task has one either, this containerd keeps its bundles elsewhere: nothing is known.
    """
    shims = {
        _bundle(_option(p, "-namespace"), _sandbox(p)): _sandbox(p)
        for p in processes
        if _sandbox(p) and _option(p, "-namespace")
    }
    proofs = {_bundle(task.namespace, task.id) for task in tasks}
    try:
        there = kernel.present([*shims, *proofs])
    except OSError:
        return frozenset()
    if not proofs & there:
        return frozenset()
    return frozenset(shims.values()) - {shims[bundle] for bundle in there & shims.keys()}


def _bundle(namespace: str, sandbox: str) -> str:
    return f"{remove.BUNDLES}/{namespace}/{sandbox}"


def find(seen: Seen) -> Processes:
    """Return the orphans, by pid."""
    containerd = next((p for p in seen.processes if p.pid == seen.containerd), None)
    if containerd is None or not containerd.started or not containerd.space:
        return ()
    shims = [p for p in seen.processes if _sandbox(p) and p.space == containerd.space]
    found = (
        orphan
        for sandbox in sorted({_sandbox(p) for p in shims})
        for orphan in _of_sandbox(sandbox, shims, seen=seen, containerd=containerd)
    )
    return tuple(sorted(set(found), key=lambda p: p.pid))


def _of_sandbox(
    sandbox: str, shims: Iterable[ports.Process], *, seen: Seen, containerd: ports.Process
) -> Iterable[ports.Process]:
    mine = [p for p in shims if _sandbox(p) == sandbox]
    members = _with_descendants(mine, seen.processes)
    running = [p for p in members if p.pid in {task.pid for task in seen.tasks}]
    known = {id_ for task in seen.tasks for id_ in (task.id, task.sandbox)}
    known |= {s.id for s in seen.sandboxes if s.ready}
    if sandbox in known or running:
        members = _guests(members, running, host=containerd.space)
    elif sandbox in seen.unbundled:
        return (p for p in members if p.started > 0)
    elif any(p.started >= containerd.started for p in mine):
        return ()  # containerd makes or deletes the sandbox right now
    return (p for p in members if 0 < p.started < containerd.started)


def _guests(
    members: Iterable[ports.Process], running: list[ports.Process], *, host: str
) -> Processes:
    """Return what lives in PID namespaces that hold no running container of this sandbox.

    Without one that runs, nothing is known of the namespaces, and nothing is named.
    """
    spared = {host, "", *(p.space for p in running)}
    return tuple(p for p in members if running and p.space not in spared)


def _with_descendants(
    roots: Iterable[ports.Process], processes: Iterable[ports.Process]
) -> Processes:
    everybody = tuple(processes)
    found = {p.pid: p for p in roots}
    while children := [p for p in everybody if p.parent in found and p.pid not in found]:
        found.update((p.pid, p) for p in children)
    return tuple(found.values())


def _sandbox(process: ports.Process) -> str:
    """Return the `-id` of a shim that runs from our store, else nothing.

    It calls itself by its path in the store where it has started itself anew, as shims built on
    runwasi do, else by its stable path. The kernel adds " (deleted)" to a program that is gone.
    """
    argv = process.argv
    if not process.exe.startswith(_STORE) or not argv[:1] or not argv[0].startswith(_NAMES):
        return ""
    return _option(process, "-id")


def _option(process: ports.Process, name: str) -> str:
    argv = process.argv
    return argv[argv.index(name) + 1] if name in argv[:-1] else ""
