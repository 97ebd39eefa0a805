"""containerd versions by starting configurations, judged by the real binaries.

`python -m tests.matrix [VERSION ...]` prints the table and exits with 1 when a cell is neither yes
nor refused with a reason. `tests/containerd/test_matrix.py` runs the same cells under pytest.

Each cell lives a life: install a shim, run again, add a second shim, drop the first, remove all,
with and without the journal's memory. Every state of the files is judged as the agent does it, by
`config dump` of copies, and the first install also on the real paths in a mount namespace.
"""

import collections.abc
import concurrent.futures
import contextlib
import dataclasses
import functools
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import textwrap

from rcm_agent import errors, ports
from rcm_agent.containerd import flatten, judge, model, propose
from tests import matrix_nodes
from tests.containerd_config import corpus, memory
from tests.testbed import containerd, machine

VERSIONS = tuple(containerd.VERSIONS)
DUMP_TIMEOUT_S = 60  # a guess; a dump takes 25 ms on an idle machine
YES = "yes"
NOT_TRIED = "-"

FIRST = model.Runtime(
    handler="rcm-spin",
    runtime_type="/opt/rcm/bin/containerd-shim-rcm-spin-v1",
    options={"SystemdCgroup": True},
)
SECOND = model.Runtime(
    handler="rcm-wasmtime",
    runtime_type="/opt/rcm/bin/containerd-shim-rcm-wasmtime-v1",
)

Healthy = collections.abc.Callable[[str, ports.Files, collections.abc.Collection[str]], str]
"""Given a version, files and handlers, `yes` or what is wrong with CRI: needs a node."""

COLUMNS = {
    "handler": "our handler takes effect",
    "attached": "importing /run/rcm changes nothing",
    "trial": "with the trial, every other setting is the same",
    "final": "the final files mean what the trial meant",
    "real": "the files mean the same on the real paths as in the copies that were judged",
    "again": "a second run writes nothing",
    "second": "a second shim comes, the first one goes",
    "removal": "removal gives back the same bytes",
    "forgotten": "so does removal when the journal is lost",
    "CRI": "a node with it is healthy",
}


class DumpError(Exception):
    """containerd did not accept a state; the message is its own last line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """What came of one version and one configuration."""

    version: str
    configuration: str
    strategy: str = ""
    refused: str = ""
    columns: collections.abc.Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Tell whether every cell is yes, or the configuration was refused with a reason."""
        told = set(self.columns.values()) - {YES, NOT_TRIED}
        return bool(self.refused) or (bool(self.columns) and not told)


@dataclasses.dataclass(slots=True)
class Bench:
    """One containerd, one set of files in memory, and what a journal would hold."""

    version: str
    files: memory.Files
    scratch: pathlib.Path
    originals: dict[str, bytes | None] = dataclasses.field(default_factory=dict)
    ours: dict[str, bytes] = dataclasses.field(default_factory=dict)
    handlers: tuple[str, ...] = ()

    @property
    def release(self) -> tuple[int, int, int]:
        major, minor, patch = containerd.VERSIONS[self.version].version.split(".")
        return int(major), int(minor), int(patch)

    def copy(self, *, remember: bool) -> "Bench":
        kept = dataclasses.replace(self, files=memory.Files(self.files))
        kept.originals = dict(self.originals) if remember else {}
        kept.ours = dict(self.ours) if remember else {}
        return kept

    def tree(self) -> model.Tree:
        return self.files.tree(release=self.release, also=tuple(self.originals))

    def dump(self, changes: ports.Files):
        """Ask the real containerd what these files mean."""
        scratch = tempfile.mkdtemp(dir=self.scratch)
        try:
            root, copies = flatten.flatten(self.tree(), changes, scratch)
            for path, data in copies.items():
                pathlib.Path(path).write_bytes(data)
            return judge.parse(run_dump(self.version, root))
        except DumpError as error:
            raise DumpError(str(error).replace(f"{scratch}/", "")) from error
        finally:
            shutil.rmtree(scratch)

    def propose(self, runtimes: tuple[model.Runtime, ...], dump) -> tuple[model.Edit, ...]:
        return propose.propose(
            tree=self.tree(),
            release=self.release,
            runtimes=runtimes,
            owned=tuple(model.Owned(p, self.originals[p], self.ours[p]) for p in self.ours),
            dump=dump,
        )

    def choose(self, runtimes: tuple[model.Runtime, ...]) -> model.Edit:
        """Do what the agent does: take the first edit that is proven."""
        before = self.dump({})
        objections: list[str] = []
        for edit in self.propose(runtimes, before):
            found = [
                line for lines in self.judge(edit, before, runtimes).values() for line in lines
            ]
            if not found:
                return edit
            objections += [f"{edit.strategy}: {line}" for line in found]
        raise errors.ConfigRefused("; ".join(objections[:3]))

    def judge(self, edit: model.Edit, before, runtimes) -> dict[str, tuple[str, ...]]:
        """Compare what each state means; a state that containerd refuses says so."""
        mine = tuple(runtime.handler for runtime in runtimes)
        try:
            attached = self.dump(edit.attached) if edit.attached else before
            trial = self.dump(edit.trial)
            final = self.dump(edit.final)
        except DumpError as error:
            return {"handler": (f"containerd does not accept it: {error}",)}
        return {
            "attached": judge.differences(before, attached, runtimes=()),
            "handler": judge.differences(
                trial, trial, runtimes=runtimes, removed={*mine, *self.handlers}
            ),
            "trial": judge.differences(before, trial, runtimes=runtimes, removed=self.handlers),
            "final": judge.differences(trial, final, runtimes=runtimes, removed=mine),
        }

    def apply(self, runtimes: tuple[model.Runtime, ...]) -> model.Edit:
        edit = self.choose(runtimes)
        bare = self.propose((), {})[0].final
        for path, data in edit.final.items():
            self.originals[path] = bare.get(path, self.files.get(path))
            self.ours.pop(path, None)
            if data is not None:
                self.ours[path] = data
        self.files.put(edit.final)
        self.handlers = tuple(runtime.handler for runtime in runtimes)
        return edit


@functools.cache
def program(version: str) -> pathlib.Path:
    return containerd.binary(version) / "containerd"


def run_dump(version: str, root: str) -> bytes:
    argv = [program(version), "-c", root, "config", "dump"]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=DUMP_TIMEOUT_S)
    if done.returncode:
        raise DumpError(errors.clip(done.stderr.decode(errors="replace").strip().split("\n")[-1]))
    return done.stdout


def cell(
    version: str, configuration: str, scratch: pathlib.Path, *, healthy: Healthy | None = None
) -> Cell:
    """Live one life; compare everything with real dumps."""
    files = memory.Files(corpus.files(configuration, version))
    bench = Bench(version, files, scratch)
    start = bench.copy(remember=False)
    try:
        before = bench.dump({})
        edit = bench.apply((FIRST,))
    except errors.ConfigRefused as error:
        return Cell(version, configuration, refused=error.cause)
    except DumpError as error:
        return Cell(version, configuration, refused=f"containerd itself does not start: {error}")
    judged = start.judge(edit, before, (FIRST,))
    columns = {name: _told(judged[name]) for name in ("handler", "attached", "trial", "final")}
    columns["real"] = _told(real_paths(start, edit))
    columns["again"] = _tried(lambda: _again(bench))
    columns["second"] = _tried(lambda: _second(bench))
    columns["removal"] = _tried(lambda: _removed(bench.copy(remember=True), start))
    columns["forgotten"] = _tried(lambda: _removed(bench.copy(remember=False), start))
    columns["CRI"] = healthy(version, bench.files, (SECOND.handler,)) if healthy else NOT_TRIED
    if healthy and columns["CRI"] != YES:
        told = healthy(version, start.files, ())
        if told != YES:  # nothing to keep healthy: the agent's verification would refuse it, too
            return Cell(version, configuration, refused=f"CRI is down without us: {told}")
    return Cell(version, configuration, strategy=edit.strategy, columns=columns)


def _told(lines: collections.abc.Sequence[str] | None) -> str:
    return NOT_TRIED if lines is None else "; ".join(lines[:3]) or YES


def _tried(step: collections.abc.Callable[[], list[str]]) -> str:
    try:
        return _told(step())
    except (errors.ConfigRefused, DumpError) as error:
        return f"refused: {error}"


def _again(bench: Bench) -> list[str]:
    edit = bench.choose((FIRST,))
    return [f"writes {path}" for path in {**edit.attached, **edit.trial, **edit.final}]


def _second(bench: Bench) -> list[str]:
    bench.apply((FIRST, SECOND))
    bench.apply((SECOND,))
    return []


def _removed(bench: Bench, start: Bench) -> list[str]:
    bench.apply(())
    paths = {*bench.files, *start.files}
    return [f"{path} differs" for path in paths if bench.files.get(path) != start.files.get(path)]


# --- real paths -------------------------------------------------------------------------------

_DUMP_ALL = textwrap.dedent("""
    for state in before trial final; do
      mount --bind "$1/$state/etc" /etc && mount --bind "$1/$state/run" /run || exit 9
      "$2" -c /etc/containerd/config.toml config dump >"$1/$state.out" 2>"$1/$state.err"
      umount /run && umount /etc || exit 9
    done
""")


def real_paths(bench: Bench, edit: model.Edit) -> list[str] | None:
    """Compare the copies with the files at their own paths; None where that cannot be tried."""
    if not can_unshare():
        return None
    top = pathlib.Path(tempfile.mkdtemp(dir=bench.scratch))
    states = {"before": {}, "trial": edit.trial, "final": edit.final}
    for name, changes in states.items():
        _lay(top / name, bench.files, changes)
    argv = ["unshare", "--mount", "sh", "-c", _DUMP_ALL, "sh", top, program(bench.version)]
    subprocess.run(argv, check=True, timeout=DUMP_TIMEOUT_S)
    found = [
        f"{name}: {line}"
        for name, changes in states.items()
        if changes or memory.ROOT in bench.files  # 1.x cannot dump a file that is not there
        for line in _compare(bench, (top / f"{name}.out").read_bytes(), changes)
    ]
    shutil.rmtree(top)
    return found


def _lay(directory: pathlib.Path, files: ports.Files, changes: ports.Files) -> None:
    for parent in ("etc", "run"):
        (directory / parent).mkdir(parents=True)
    for path, data in {**files, **changes}.items():
        if data is not None:
            target = directory / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


def _compare(bench: Bench, printed: bytes, changes: ports.Files) -> tuple[str, ...]:
    if not printed:
        return ("containerd does not accept the real files",)
    return judge.differences(bench.dump(changes), judge.parse(printed), runtimes=())


@functools.cache
def can_unshare() -> bool:
    """Tell whether this machine lets us have a mount namespace (root, and no seccomp filter)."""
    argv = ["unshare", "--mount", "sh", "-c", "mount --bind /tmp /mnt"]
    return (
        shutil.which("unshare") is not None
        and subprocess.run(argv, capture_output=True, check=False).returncode == 0
    )


# --- the table --------------------------------------------------------------------------------


def table(versions: collections.abc.Sequence[str], *, healthy: Healthy | None = None) -> list[Cell]:
    """Return every cell, computed side by side."""
    wanted = [(name, version) for name in corpus.names() for version in versions]
    with (
        tempfile.TemporaryDirectory() as scratch,
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        top = pathlib.Path(scratch)
        return list(pool.map(lambda w: cell(w[1], w[0], top, healthy=healthy), wanted))


def show(cells: collections.abc.Sequence[Cell]) -> None:
    """Print the table, what the columns mean, and every reason below."""
    width = max(len(one.configuration) for one in cells)
    print(f"{'':{width}}  {'':4}  {'':9}  {'  '.join(COLUMNS)}")
    for one in cells:
        head = f"{one.configuration:{width}}  {one.version:4}  {one.strategy:9}"
        if one.refused:
            print(f"{head}  refused: {one.refused}")
            continue
        marks = (
            (told if told in {YES, NOT_TRIED} else "NO").ljust(len(name))
            for name, told in ((name, one.columns[name]) for name in COLUMNS)
        )
        print(f"{head}  {'  '.join(marks)}")
    print()
    for name, meaning in COLUMNS.items():
        print(f"{name:9}  {meaning}")
    for one in cells:
        for name, told in one.columns.items():
            if told not in {YES, NOT_TRIED}:
                print(f"NO: {one.configuration} on {one.version}, {name}: {told}")


def main(arguments: list[str]) -> int:
    """Print the table of the versions named, or of all."""
    reason = machine.available()
    if reason:
        print(f"CRI is not asked: {reason}", file=sys.stderr)
        cells = table(arguments or VERSIONS)
    else:
        machine.ensure_daemon()
        with contextlib.closing(matrix_nodes.Healthy()) as healthy:
            cells = table(arguments or VERSIONS, healthy=healthy)
    show(cells)
    yes = sum(one.good and not one.refused for one in cells)
    refused = sum(bool(one.refused) for one in cells)
    print(f"{yes} yes, {refused} refused with a reason, {len(cells) - yes - refused} NO")
    return 0 if all(one.good for one in cells) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
