"""From a fetched file, its digest already right, to a program in the store.

Called by `store` with the partial file still open and private (0600). If we die before the
rename, the store is as it was; between the rename and `meta.json`, a program lies in an entry
that does not count, and the next run replaces it.
"""

from __future__ import annotations

import contextlib
import posixpath
from dataclasses import replace

from rcm_agent import errors, ports
from rcm_agent.host import (
    archive,
    compression,
    elf,
    entries,
    files,
    job,
    locations,
    partials,
    reading,
    terms,
)

_ARCHIVES = frozenset({"gzip", "xz", "zstd", "tar"})
_NAMELESS = "shim"
"""For a program whose own name would not do for a file."""


def place(
    kernel: ports.Kernel,
    task: job.Job,
    *,
    location: locations.Location,
    machine: terms.Machine,
    binary: str | None,
) -> entries.Program:
    """Put the program that is, or is in, the partial file into the store.

    Raises:
        FetchError: it is not a program for this host, or the disk refused. The store is as it was.
    """
    with partials.disk("read", task.partial.path):
        file = reading.open_file(kernel, task.partial.path)
    with file:
        kind = compression.sniff(file.read(compression.HEAD_BYTES) or b"")
        if kind in _ARCHIVES:
            found = archive.Archive(file, kind, location.shown, task.policy)
            return _place_member(
                kernel, task, found=found, location=location, machine=machine, binary=binary
            )
    _check_program(kernel, task.partial.path, what=location.shown, machine=machine)
    program = entries.Program(
        name=_name(binary or location.path),
        member="",
        chosen=True,
        sha256=task.partial.digest(),
        size=task.partial.size,
        machine=machine,
    )
    return _move(kernel, task, made=task.partial, program=program, location=location)


def _place_member(
    kernel: ports.Kernel,
    task: job.Job,
    *,
    found: archive.Archive,
    location: locations.Location,
    machine: terms.Machine,
    binary: str | None,
) -> entries.Program:
    member = archive.choose(found, binary=binary)
    with partials.opened(kernel, f"{task.partial.digest()}-member", max_bytes=0) as made:
        archive.extract(found, member, write=made.write)
        what = f"{errors.clip(member)!r} in {location.shown}"
        _check_program(kernel, made.path, what=what, machine=machine)
        program = entries.Program(
            name=_name(member),
            member=member,
            chosen=binary is None,
            sha256=made.digest(),
            size=made.size,
            machine=machine,
        )
        return _move(kernel, task, made=made, program=program, location=location)


def _check_program(kernel: ports.Kernel, path: str, *, what: str, machine: terms.Machine) -> None:
    """Refuse what this host cannot run."""
    with partials.disk("read", path), reading.open_file(kernel, path) as file:
        kind = compression.sniff(file.read(compression.HEAD_BYTES) or b"")
        if kind != "ELF":
            raise errors.FetchError(
                f"{what} is no program: its content is {_called(kind)}",
                advice="check the location, or name the right member with `binary`",
            )
        try:
            interpreter = elf.check(file, machine=machine)
        except elf.BadElf as error:
            raise errors.FetchError(
                f"{what} cannot run here: {error}", advice=f"use the build for linux/{machine}"
            ) from error
    if interpreter and not _is_file(kernel, interpreter):
        raise errors.FetchError(
            f"{what} needs {errors.clip(interpreter)}, which this host does not have",
            advice="use a static build (musl)",
        )


def _move(
    kernel: ports.Kernel,
    task: job.Job,
    *,
    made: partials.Partial,
    program: entries.Program,
    location: locations.Location,
) -> entries.Program:
    """Make the checked file executable and give it its place, then say so in `meta.json`."""
    digest = task.partial.digest()
    before = entries.read_meta(kernel, digest)
    program = _fitted(program, before)
    meta = entries.Meta(
        location=location.shown,
        size=task.partial.size,
        programs=(*_others(program, before), program),
    )
    made.make_executable()
    directory = entries.directory(digest)
    existed = kernel.lstat(directory) is not None
    with partials.disk("place", directory):
        try:
            _rename(kernel, made.path, directory=directory, name=program.name)
            _write_meta(kernel, f"{directory}/{entries.META}", meta)
        except (OSError, errors.HostError):
            if not existed:
                _undo(kernel, directory)
            raise
    return program


def _rename(kernel: ports.Kernel, path: str, *, directory: str, name: str) -> None:
    files.make_directory(kernel, directory)
    kernel.rename(path, f"{directory}/{name}")
    kernel.fsync_dir(directory)


def _write_meta(kernel: ports.Kernel, path: str, meta: entries.Meta) -> None:
    data = entries.format_meta(meta)
    files.replace(kernel, path, data, expected=files.read(kernel, path))


def _undo(kernel: ports.Kernel, directory: str) -> None:
    """Remove an entry that was to be new. One that was there stays: a shim in it may be in use."""
    with contextlib.suppress(OSError, errors.HostError):  # the first failure is told
        for name in sorted(kernel.listdir(directory), key=entries.META.__ne__):  # it goes first
            kernel.unlink(f"{directory}/{name}")
        files.remove_directory(kernel, directory)


def _fitted(program: entries.Program, before: entries.Meta | None) -> entries.Program:
    """Keep what was known of the same member; another member of the same name keeps its file."""
    for other in before.programs if before is not None else ():
        if other.member == program.member:
            return replace(program, name=other.name, chosen=program.chosen or other.chosen)
        if other.name == program.name:
            program = replace(program, name=f"{program.name}.{program.sha256[:8]}")
    return program


def _others(program: entries.Program, before: entries.Meta | None) -> tuple[entries.Program, ...]:
    known = before.programs if before is not None else ()
    return tuple(other for other in known if other.member != program.member)


def _is_file(kernel: ports.Kernel, path: str) -> bool:
    try:
        found = kernel.lstat(kernel.realpath(path))
    except OSError:
        return False
    return found is not None and found.kind == "file"


def _name(path: str) -> str:
    name = posixpath.basename(path)
    return name if entries.is_name(name) else _NAMELESS


def _called(kind: compression.Format) -> str:
    match kind:
        case "empty" | "unknown":
            return kind
        case "HTML page":
            return "an HTML page"
        case "script":
            return "a script"
        case _:
            return f"{kind} data"
