"""containerd version × starting configuration, judged by the real binaries.

`python -m tests.matrix [VERSION …]` prints the table and exits with 1 when a cell is neither yes
nor refused with a reason. `tests/containerd/test_matrix.py` runs the same cells under pytest.
"""

import dataclasses
import pathlib
import subprocess
import sys
import tempfile

from rcm_agent import errors, ports
from rcm_agent.containerd import flatten, judge, model, propose
from tests.containerd_config import corpus, memory
from tests.testbed import containerd

VERSIONS = tuple(containerd.VERSIONS)
DUMP_TIMEOUT_S = 30  # a guess; a dump takes 25 ms

FIRST = model.Runtime(
    handler="rcm-spin",
    runtime_type="io.containerd.spin.v2",
    runtime_path="/opt/rcm/bin/containerd-shim-rcm-spin-v1",
    options={"SystemdCgroup": True},
)
SECOND = model.Runtime(
    handler="rcm-wasmtime",
    runtime_type="io.containerd.wasmtime.v1",
    runtime_path="/opt/rcm/bin/containerd-shim-rcm-wasmtime-v1",
)


class DumpError(Exception):
    """containerd did not accept a state; the message is its own last line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """What came of one version and one configuration."""

    version: str
    configuration: str
    strategy: str = ""
    refused: str = ""
    failures: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        return not self.failures


@dataclasses.dataclass(slots=True)
class Bench:
    """One containerd, one set of files in memory, and what a journal would hold."""

    version: str
    files: memory.Files
    scratch: pathlib.Path
    originals: dict[str, bytes | None] = dataclasses.field(default_factory=dict)
    handlers: tuple[str, ...] = ()

    @property
    def release(self) -> tuple[int, int, int]:
        major, minor, patch = containerd.VERSIONS[self.version].version.split(".")
        return int(major), int(minor), int(patch)

    def tree(self) -> model.Tree:
        return self.files.tree(release=self.release, also=tuple(self.originals))

    def owned(self) -> tuple[model.Owned, ...]:
        return tuple(
            model.Owned(path, original, self.files[path])
            for path, original in self.originals.items()
            if path in self.files
        )

    def dump(self, changes: ports.Files):
        """Ask the real containerd what these files mean."""
        root, copies = flatten.flatten(self.tree(), changes, str(self.scratch))
        for path, data in copies.items():
            pathlib.Path(path).write_bytes(data)
        return judge.parse(run_dump(self.version, root))

    def choose(self, runtimes: tuple[model.Runtime, ...]) -> model.Edit:
        """Do what the agent does: take the first edit that is proven."""
        before = self.dump({})
        edits = propose.propose(
            tree=self.tree(),
            release=self.release,
            runtimes=runtimes,
            owned=self.owned(),
            dump=before,
        )
        objections: list[str] = []
        for edit in edits:
            found = self.objections(edit, before, runtimes)
            if not found:
                return edit
            objections += [f"{edit.strategy}: {line}" for line in found]
        raise errors.ConfigRefused("; ".join(objections[:3]))

    def objections(self, edit: model.Edit, before, runtimes) -> list[str]:
        try:
            dumps = [self.dump(state) for state in (edit.attached, edit.trial, edit.final)]
        except DumpError as error:
            return [f"containerd does not accept it: {error}"]
        attached, trial, final = dumps
        mine = tuple(runtime.handler for runtime in runtimes)
        return [
            *(f"attached: {x}" for x in judge.differences(before, attached, runtimes=())),
            *judge.differences(before, trial, runtimes=runtimes, removed=self.handlers),
            *(
                f"final: {x}"
                for x in judge.differences(trial, final, runtimes=runtimes, removed=mine)
            ),
        ]

    def apply(self, runtimes: tuple[model.Runtime, ...]) -> model.Edit:
        edit = self.choose(runtimes)
        for path in edit.final:
            self.originals.setdefault(path, self.files.get(path))
        self.files.put(edit.final)
        self.handlers = tuple(runtime.handler for runtime in runtimes)
        return edit


def run_dump(version: str, root: str) -> bytes:
    argv = [containerd.binary(version) / "containerd", "-c", root, "config", "dump"]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=DUMP_TIMEOUT_S)
    if done.returncode:
        raise DumpError(errors.clip(done.stderr.decode(errors="replace").strip().split("\n")[-1]))
    return done.stdout


def cell(version: str, configuration: str, scratch: pathlib.Path) -> Cell:
    """Install, repeat, add a second shim, remove; compare everything with real dumps."""
    files = memory.Files(corpus.files(configuration, version))
    start = dict(files)
    bench = Bench(version, files, scratch)
    try:
        edit = bench.apply((FIRST,))
    except errors.ConfigRefused as error:
        return Cell(version, configuration, refused=error.cause)
    except DumpError as error:
        return Cell(version, configuration, refused=f"containerd itself: {error}")
    failures = _life(bench, start)
    return Cell(version, configuration, strategy=edit.strategy, failures=tuple(failures))


def _life(bench: Bench, start: dict[str, bytes]) -> list[str]:
    failures: list[str] = []
    again = bench.choose((FIRST,))
    if again.attached or again.trial or again.final:
        failures.append(f"a second run would write {sorted({*again.trial, *again.final})}")
    try:
        bench.apply((FIRST, SECOND))
        bench.apply((SECOND,))
    except errors.ConfigRefused as error:
        failures.append(f"second shim: {error.cause}")
    forgetful = memory.Files(bench.files)
    for name, journal in (("", bench.originals), (" without a journal", {})):
        there = Bench(bench.version, memory.Files(forgetful), bench.scratch, dict(journal))
        there.handlers = bench.handlers
        try:
            there.apply(())
        except errors.ConfigRefused as error:
            failures.append(f"removal{name}: {error.cause}")
        if there.files != start:
            changed = sorted(
                p for p in {*there.files, *start} if there.files.get(p) != start.get(p)
            )
            failures.append(f"removal{name} leaves {changed} different")
    return failures


def show(cells: list[Cell]) -> None:
    width = max(len(one.configuration) for one in cells)
    for one in cells:
        told = "yes  yes  yes  yes" if one.good and not one.refused else ""
        if one.refused:
            told = f"refused: {one.refused}"
        if one.failures:
            told = "NO: " + "; ".join(one.failures)
        print(f"{one.configuration:{width}}  {one.version:4} {one.strategy:9} {told}")


def main(versions: list[str]) -> int:
    cells: list[Cell] = []
    with tempfile.TemporaryDirectory() as scratch:
        for configuration in corpus.names():
            for version in versions or VERSIONS:
                cells.append(cell(version, configuration, pathlib.Path(scratch)))
    show(cells)
    return 0 if all(one.good for one in cells) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
