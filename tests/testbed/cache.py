"""A cache of built parts: an entry is a directory, named by what it was built from.

Callers describe the inputs (versions, recipe files' bytes); the hash of them is the name. An entry
is built in a scratch directory and renamed into place, so it is there whole or not at all: an
interrupted build leaves nothing that looks finished. A file lock keeps two processes from
building the same entry; the second waits and finds it done.

    <root>/entries/<name>-<key>/   finished entries
    <root>/scratch/                builds under way; leftovers of killed ones are removed
    <root>/logs/<name>-<key>.log   what the programs of a build printed
    <root>/locks/<name>-<key>
"""

import collections.abc
import contextlib
import dataclasses
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

from tests.testbed import errors, progress

# 64 bits of a SHA-256: no accident makes two recipes meet, and names stay readable.
_KEY_DIGITS = 16
_LOG_TAIL_LINES = 20

Inputs = collections.abc.Mapping[str, str | bytes]


@dataclasses.dataclass(frozen=True, slots=True)
class Workshop:
    """What a build function gets.

    Attributes:
        directory: Empty; what is in it afterwards is the entry.
        scratch: Empty, on the same file system; thrown away afterwards.
        log: Programs' output goes here.
        step: Names the step under way, for the progress display.
    """

    directory: pathlib.Path
    scratch: pathlib.Path
    log: pathlib.Path
    step: collections.abc.Callable[[str], None]

    def run(
        self,
        argv: collections.abc.Sequence[str | pathlib.Path],
        *,
        cwd: pathlib.Path | None = None,
        env: collections.abc.Mapping[str, str] | None = None,
    ) -> None:
        """Run a program with its output in the log.

        Raises:
            BuildError: It ended with another exit code than 0, or is not there.
        """
        run_logged(argv, log=self.log, cwd=cwd, env=env)


def root() -> pathlib.Path:
    """Return the cache directory; it need not exist."""
    if chosen := os.environ.get("RCM_CACHE"):
        return pathlib.Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "runtime-class-manager"


def key(inputs: Inputs) -> str:
    """Return the hash of the inputs, names and lengths included."""
    digest = hashlib.sha256()
    for name in sorted(inputs):
        value = inputs[name]
        data = value.encode() if isinstance(value, str) else value
        digest.update(f"{len(name)} {name} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()[:_KEY_DIGITS]


def recipe(*paths: pathlib.Path) -> dict[str, bytes]:
    """Return the bytes of recipe files, and of all files below directories, as inputs."""
    found: dict[str, bytes] = {}
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                mode = "x" if os.access(file, os.X_OK) else "-"
                found[f"{file.relative_to(path.parent)} {mode}"] = file.read_bytes()
    return found


def path(name: str, inputs: Inputs) -> pathlib.Path:
    """Return where the entry is, or would be."""
    return root() / "entries" / f"{name}-{key(inputs)}"


def entry(
    name: str, inputs: Inputs, build: collections.abc.Callable[[Workshop], None]
) -> pathlib.Path:
    """Return the directory of an entry, and build it first if it is not there.

    Raises:
        BuildError: A program of the build failed; no entry is left.
    """
    target = path(name, inputs)
    if target.is_dir():
        return target
    with lock(target.name):
        if not target.is_dir():
            _build(name, target, build)
    return target


@contextlib.contextmanager
def lock(name: str) -> collections.abc.Iterator[None]:
    """Hold a lock that other processes, and other threads, of this cache see."""
    locks = root() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def log_path(name: str) -> pathlib.Path:
    """Return where the log of a build goes, and make its directory."""
    logs = root() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    return logs / f"{name}.log"


def run_logged(
    argv: collections.abc.Sequence[str | pathlib.Path],
    *,
    log: pathlib.Path,
    cwd: pathlib.Path | None = None,
    env: collections.abc.Mapping[str, str] | None = None,
) -> None:
    """Run a program and append its output to `log`.

    Raises:
        BuildError: It ended with another exit code than 0, or is not there.
    """
    command = " ".join(map(str, argv))
    with log.open("a") as output:
        output.write(f"+ {command}\n")
        output.flush()
        try:
            done = subprocess.run(  # noqa: PLW1510 -- the log's tail belongs into the error
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, **env} if env else None,
            )
        except FileNotFoundError as error:
            raise errors.BuildError(f"cannot run {argv[0]!s}: not installed") from error
    if done.returncode != 0:
        raise errors.BuildError(
            f"{command!r} exited with {done.returncode}; end of {log}:\n{_tail(log)}"
        )


def _build(
    name: str, target: pathlib.Path, build: collections.abc.Callable[[Workshop], None]
) -> None:
    log = log_path(target.name)
    log.unlink(missing_ok=True)
    scratch = root() / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    for leftover in scratch.glob(f"{target.name}.*"):  # we hold the lock: nobody works there
        shutil.rmtree(leftover)
    bench = pathlib.Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=scratch))
    try:
        with progress.board.task(name) as step:
            workshop = Workshop(bench / "entry", bench / "scratch", log, step)
            workshop.directory.mkdir()
            workshop.scratch.mkdir()
            build(workshop)
            workshop.directory.rename(target)
    finally:
        shutil.rmtree(bench, ignore_errors=True)


def _tail(log: pathlib.Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join(lines[-_LOG_TAIL_LINES:])
