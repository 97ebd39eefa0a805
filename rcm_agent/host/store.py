"""The store of shims on the host: content-addressed, every byte checked before it counts.

Called by `run` (`ensure`, `remove`) and `look` (`verify`, `list`). Order of `ensure`, which is
what keeps it safe: bytes to a private file → digest compared → `placing` opens it, takes one
program out, checks it, makes it executable and durable, and renames it into place.
A file in the store is never written to, only replaced by rename: a running shim keeps its inode.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

from rcm_agent import errors, ports
from rcm_agent.host import (
    entries,
    files,
    job,
    locations,
    partials,
    reading,
    sources,
    terms,
)

_DIRECTORIES = (partials.DIRECTORY, entries.ROOT, entries.STORE, "/opt/rcm", "/opt")
"""What `ensure` may have to create, deepest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A program that is in the store, checked."""

    digest: str
    """SHA-256 of the artifact."""
    path: str
    """Of the program on the host."""
    binary_sha256: str
    size: int
    """Of the program."""
    fetched_bytes: int = 0
    """Brought here by this call; 0 when all was there."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A directory of the store, as it is on disk, not verified."""

    digest: str
    programs: tuple[str, ...]
    """Paths; empty when the entry is incomplete."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What looking at an entry found: either of the two is set."""

    stored: Stored | None
    problem: str
    """Why it does not count, on one line."""


def ensure(  # noqa: PLR0913 - one record more would only rename them
    kernel: ports.Kernel,
    source: terms.Source,
    *,
    machine: terms.Machine,
    policy: terms.Policy,
    timing: terms.Timing,
    progress: Callable[[terms.Progress], None],
    trust_on_first_use: bool,
) -> Stored:
    """Make sure that the program is in the store; without network or write when it is.

    Raises:
        FetchError: it cannot be had or is not fit. The store is as it was.
    """
    sources.check(source, trust_on_first_use=trust_on_first_use)
    location = locations.parse(source.location)
    if source.sha256 is not None:
        there = verify(kernel, source.sha256, machine=machine, binary=source.binary).stored
        if there is not None:
            return there
    from rcm_agent.host import download  # noqa: PLC0415 - most runs have nothing to fetch

    with (
        _tidied_when_refused(kernel),
        partials.opened(kernel, sources.key(source), max_bytes=policy.max_bytes) as partial,
    ):
        task = job.Job(
            sha256=source.sha256,
            policy=policy,
            timing=timing,
            tell=progress,
            partial=partial,
        )
        download.fetch(task, kernel, location)
        return _stored(kernel, source, machine=machine, location=location, task=task)


def verify(
    kernel: ports.Kernel,
    digest: str,
    *,
    machine: terms.Machine | None = None,
    binary: str | None = None,
) -> Verdict:
    """Read the program's every byte and compare; nothing is written.

    Without `machine` this looks at what is there; with it, for what `ensure` would place.
    """
    meta = entries.read_meta(kernel, digest) if entries.is_digest(digest) else None
    if meta is None:
        return Verdict(None, f"{digest} is not in the store")
    program = meta.find(binary=binary, machine=machine)
    if program is None:
        return Verdict(None, f"{digest} is in the store without that binary")
    path = f"{entries.directory(digest)}/{program.name}"
    problem = _problem(kernel, path, program)
    if problem:
        return Verdict(None, f"{path} {problem}")
    return Verdict(
        Stored(digest=digest, path=path, binary_sha256=program.sha256, size=program.size), ""
    )


def remove(kernel: ports.Kernel, digest: str) -> bool:
    """Take an entry away, its `meta.json` first; False when there was none.

    Raises:
        HostError: the file system refused.
    """
    path = entries.directory(digest)
    if not entries.is_digest(digest) or kernel.lstat(path) is None:
        return False
    files.remove(kernel, f"{path}/{entries.META}")
    for name in kernel.listdir(path):
        files.remove(kernel, f"{path}/{name}")
    files.remove_directory(kernel, path)
    return True


def remove_rest(kernel: ports.Kernel) -> None:
    """Take away half-done downloads, and the store's directories when nothing is in them.

    Raises:
        HostError: the file system refused.
    """
    if kernel.lstat(partials.DIRECTORY) is not None:
        for name in kernel.listdir(partials.DIRECTORY):
            files.remove(kernel, f"{partials.DIRECTORY}/{name}")
    for path in _DIRECTORIES[:3]:
        files.remove_directory(kernel, path)


def list(kernel: ports.Kernel) -> tuple[Entry, ...]:  # noqa: A001 - read as `store.list`
    """Return all entries, also incomplete ones, by digest."""
    if kernel.lstat(entries.ROOT) is None:
        return ()
    digests = (name for name in kernel.listdir(entries.ROOT) if entries.is_digest(name))
    return tuple(_entry(kernel, digest) for digest in digests)


def _entry(kernel: ports.Kernel, digest: str) -> Entry:
    meta = entries.read_meta(kernel, digest)
    programs = meta.programs if meta is not None else ()
    return Entry(digest, tuple(f"{entries.directory(digest)}/{one.name}" for one in programs))


def _problem(kernel: ports.Kernel, path: str, program: entries.Program) -> str:
    """Say what is wrong with a program's file; empty when nothing is."""
    found = kernel.lstat(path)
    if found is None:
        return "is missing"
    if found.kind != "file" or found.size != program.size:
        return "is not the file that was stored"
    if (found.mode, found.uid, found.gid) != (partials.EXECUTABLE, 0, 0):
        return f"has owner {found.uid}:{found.gid} and mode {found.mode:o}"
    try:
        same = reading.sha256(kernel, path) == program.sha256
    except OSError as error:
        return f"cannot be read: {errors.clip(error.strerror or str(error))}"
    return "" if same else "does not have the bytes that were stored"


def _stored(
    kernel: ports.Kernel,
    source: terms.Source,
    *,
    machine: terms.Machine,
    location: locations.Location,
    task: job.Job,
) -> Stored:
    """Place what was fetched, unless it turns out to be there: its digest was not known before."""
    from rcm_agent.host import placing  # noqa: PLC0415 - most runs have nothing to fetch

    digest = task.partial.digest()
    if source.sha256 is None:
        there = verify(kernel, digest, machine=machine, binary=source.binary).stored
        if there is not None:
            return replace(there, fetched_bytes=task.partial.received_bytes)
    program = placing.place(kernel, task, location=location, machine=machine, binary=source.binary)
    return Stored(
        digest=digest,
        path=f"{entries.directory(digest)}/{program.name}",
        binary_sha256=program.sha256,
        size=program.size,
        fetched_bytes=task.partial.received_bytes,
    )


@contextlib.contextmanager
def _tidied_when_refused(kernel: ports.Kernel) -> Generator[None]:
    """On a failure, remove the empty directories that were not there before."""
    missing = [path for path in _DIRECTORIES if kernel.lstat(path) is None]
    try:
        yield
    except BaseException:
        with contextlib.suppress(errors.HostError, OSError):  # the first failure is told
            for path in missing:
                files.remove_directory(kernel, path)
        raise
