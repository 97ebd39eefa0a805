"""What holds for every file, not only for those that we thought of."""

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as some

from rcm_agent.containerd import dialect, scan, toml
from tests.containerd_config import make, memory
from tests.containerd_config.make import DROP_IN, NEW, OLD, Host

pytestmark = pytest.mark.timeout(120)  # shrinking a failure takes its time
ROOT = memory.ROOT
CRI = 'plugins."io.containerd.grpc.v1.cri"'

COMMENTS = some.sampled_from(["", "", "  # why", "\t# [no] = 'table' \"quote"])
STRINGS = some.sampled_from(['"a"', "'b # ]'", '"""c\n[x]\n# d\n"""', "'''\n} '' ]'''", '"\\"#"'])
NUMBERS = some.sampled_from(["1", "0x1f", "true", "1979-05-27 07:32:00", "[ 1, # one\n 2,\n]"])
VALUES = some.one_of(STRINGS, NUMBERS, some.just("{ a = 'x', b.c = [ { d = 1 } ] }"))

IMPORTS = some.sampled_from(
    [
        "imports = []",
        'imports = ["/none/*.toml"]',
        "'imports' = ['/none/*.toml', ]",
        'imports = [\n  "/none/*.toml", # one\n  # two\n]',
        'imports = ["/none/*.toml",\n"/none/[a]*.toml" ]',
        'imports = ["conf.d/*.toml"]',
    ]
)
VERSIONS = some.sampled_from(["version = 2", "version=3", '"version" = 2 # 3', "version = 4"])
FREE = some.builds("key{} = {}{}".format, some.integers(0, 99), VALUES, COMMENTS)
RUNTIMES = some.sampled_from(
    [
        f'[{CRI}.containerd.runtimes.runc]\nruntime_type = "r"',
        f'[{CRI}.containerd]\nruntimes = {{ runc = {{ runtime_type = "r" }} }}',
        f'[{CRI}]\ncontainerd.runtimes.runc.runtime_type = "r" # dotted',
        f"[{CRI}.containerd.runtimes]",
        f'[{CRI}]\nsandbox_image = "x"',
        '[plugins]\n"io.containerd.grpc.v1.cri" = {}',
        '[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]',
        "",
    ]
)
TABLES = some.builds("[table{}] # t\n  a = {}".format, some.integers(0, 99), VALUES)
LINES = some.sampled_from(["", "# a comment", "   ", "#"])


@some.composite
def roots(draw) -> bytes:
    """A root file: keys in any order, tables in any order, odd spellings throughout."""
    keys = draw(some.lists(FREE | LINES, max_size=3))
    keys += draw(some.lists(VERSIONS, max_size=1)) + draw(some.lists(IMPORTS, max_size=1))
    tables = [*draw(some.lists(TABLES | LINES, max_size=3)), draw(RUNTIMES)]
    lines = [*draw(some.permutations(keys)), *draw(some.permutations(tables))]
    text = "\n".join(lines) + draw(some.sampled_from(["", "\n", "\n\n"]))
    newline = draw(some.sampled_from(["\n", "\r\n"]))
    data = (draw(some.sampled_from(["", scan.BOM])) + text.replace("\n", newline)).encode()
    try:
        toml.parse(data)
    except ValueError:
        assume(False)  # noqa: FBT003 - a key or table twice
    return data


RELEASES = some.sampled_from([OLD, NEW])
NAMES = ("spin", "wasmtime", "wasmedge")
SETS = some.lists(some.sampled_from(NAMES), unique=True, min_size=1).map(
    lambda names: tuple(make.runtime(name, n=len(names)) for name in names)
)
BARE = b"version = 2"


def meaning(files: memory.Files) -> dict:
    return {path: toml.parse(data) for path, data in files.items()}


@given(roots(), RELEASES, some.lists(SETS, min_size=1, max_size=3))
@example(BARE, OLD, [(make.runtime(),)])
@example(b"", NEW, [(make.runtime(),)])
@settings(deadline=None)
def test_whatever_was_installed_removal_gives_the_same_bytes(root, release, sets) -> None:
    host = Host(root, release=release)
    for runtimes in sets:
        host.apply(*runtimes)

    forgetful = Host(None, release=release)
    forgetful.files = memory.Files(host.files)
    host.apply()
    forgetful.apply()

    assert host.files == {ROOT: root}
    assert forgetful.files == {ROOT: root}


@given(roots(), RELEASES, SETS)
@settings(deadline=None)
def test_the_edited_files_mean_what_they_meant_and_ours(root, release, runtimes) -> None:
    host = Host(root, release=release)
    before = dict(toml.parse(root))
    host.apply(*runtimes)

    found = {**toml.parse(host.root)}
    imports, listed = before.pop("imports", []), found.pop("imports", [])
    assert listed[: len(imports)] == imports
    assert all("rcm" in pattern for pattern in listed[len(imports) :])
    ours = {} if release == NEW else found
    if release == NEW:
        ours = toml.parse(host.files.get(DROP_IN) or host.files[make.CONF_D])
        assert found == before
    names = {runtime.handler for runtime in runtimes}
    assert names <= set(dialect.all_runtimes(ours))
    assert _without(found, names) == _without(before, names)


def _without(data, names: set[str]):
    """Leave out our runtimes, runc with them, and tables that are empty then."""
    if not toml.is_table(data):
        return data
    inner = {
        key: _without(item, names) for key, item in data.items() if key not in {*names, "runc"}
    }
    return {key: item for key, item in inner.items() if item != {}}


@given(roots(), RELEASES, SETS)
@settings(deadline=None)
def test_a_second_run_writes_nothing(root, release, runtimes) -> None:
    host = Host(root, release=release)
    host.apply(*runtimes)

    edit = host.propose(*runtimes, dump_=make.dump(*host.handlers(), release=release))[0]

    assert {**edit.attached, **edit.trial, **edit.final} == {}


FOREIGN = some.sampled_from(["# theirs", "[theirs]", '[theirs]\nx = """\n# END\n"""', "theirs = 1"])


@given(roots(), RELEASES, SETS, SETS, FOREIGN, some.integers(0, 10**6))
@settings(deadline=None)
def test_what_others_write_meanwhile_survives(root, release, first, second, theirs, where) -> None:
    host = Host(root, release=release)
    host.apply(*first)
    newline = toml.newline(host.root.decode())
    theirs = theirs.replace("\n", newline) + newline
    host.files[ROOT] = _insert(host.root.decode(), theirs, where)

    host.apply(*second)
    host.apply()

    # Our part had no line end where the file had none, so theirs may stand last without one.
    found = _normal(host.root) + newline.encode()
    assert theirs.encode() in found
    assert _normal(found.replace(theirs.encode(), b"", 1)) == _normal(root)


def _insert(text: str, theirs: str, where: int) -> bytes:
    """Put their lines at a place where they are a statement of their own, outside our marks."""
    document = scan.scan(text)
    header = document.first_header()
    top = [0 + text.startswith(scan.BOM)]
    top += [s.end for s in document.root_keys()]
    ends = [s.end for s in document.statements if header and s.start >= header.start]
    places = top if theirs.startswith("theirs =") else [len(text)]
    places = [*top, *ends, len(text)] if theirs.startswith("#") else places
    at = places[where % len(places)]
    head = text[:at]
    if head not in {"", scan.BOM} and not head.endswith("\n"):
        head += toml.newline(text)
    changed = head + theirs + text[at:]
    return changed.encode()


def _normal(data: bytes) -> bytes:
    """Forget a line end at the end: their edit may have added it."""
    return data.removesuffix(b"\n").removesuffix(b"\r")
