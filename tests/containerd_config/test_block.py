"""Runtime tables in a file that has its own, and back."""

import tomllib

import pytest

from rcm_agent.containerd import block, dialect, ours
from tests.containerd_config import corpus, make

TABLES = block.tables((make.runtime("rcm-b"), make.runtime("rcm-a", SystemdCgroup=True)))

SHAPES = [
    pytest.param("", id="empty"),
    pytest.param("version = 2", id="no line end"),
    pytest.param("[plugins]\n", id="header of plugins"),
    pytest.param('[plugins."io.containerd.grpc.v1.cri".containerd.runtimes]\n', id="its header"),
    pytest.param('plugins."io.containerd.grpc.v1.cri".containerd.x = 1\n', id="dotted"),
    pytest.param(
        '[plugins."io.containerd.grpc.v1.cri"]\ncontainerd.runtimes.runc.runtime_type = "r"\n',
        id="dotted in a table",
    ),
    pytest.param("plugins = {}\n", id="inline, empty"),
    pytest.param("plugins = { }", id="inline, empty, a blank, no line end"),
    pytest.param("[plugins]\n'io.containerd.grpc.v1.cri' = {a = 1} # why\n", id="inline plugin"),
    pytest.param(
        '[plugins."io.containerd.grpc.v1.cri"]\ncontainerd = { snapshotter = "}" }\n',
        id="inline containerd, brace in a string",
    ),
    pytest.param(
        'plugins = { "io.containerd.grpc.v1.cri" = { containerd.runtimes = { runc = {a=[1,\n2]} }}}',
        id="inline, dotted, over two lines",
    ),
    pytest.param(
        '[plugins."io.containerd.grpc.v1.cri".containerd]\nruntimes.runc = {runtime_type = "r"}\n',
        id="only the runtime is inline",
    ),
]


def expected(text: str) -> dict:
    meaning = tomllib.loads(text)
    found = meaning
    for key in block.path(dialect.CRI_1):
        found = found.setdefault(key, {})
    found.update(TABLES)
    return meaning


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("text", SHAPES)
def test_ours_are_added_and_everything_else_stays(text, newline) -> None:
    text = text.replace("\n", newline)

    edited = block.add(text, dialect.CRI_1, TABLES)

    assert expected(text) == tomllib.loads(edited)
    assert text == ours.strip(edited, globs=())


@pytest.mark.parametrize("name", corpus.pure())
def test_every_file_of_the_corpus_can_hold_them(name) -> None:
    for data in corpus.files(name).values():
        text = data.decode()

        edited = block.add(text, dialect.CRI_1, TABLES)

        assert expected(text.removeprefix("\ufeff")) == tomllib.loads(edited.removeprefix("\ufeff"))
        assert text == ours.strip(edited, globs=())


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        pytest.param(
            lambda text: text + "[debug]\nlevel = 'info'\n", "[debug]", id="a table behind"
        ),
        pytest.param(
            lambda text: text.replace("# END", "[debug]\nlevel = 'info'\n# END"),
            "[debug]",
            id="a table between our marks",
        ),
        pytest.param(lambda text: "oom_score = 1\n" + text, "oom_score = 1", id="a key in front"),
    ],
)
def test_what_others_wrote_meanwhile_stays(edit, words) -> None:
    changed = edit(block.add("version = 2\n", dialect.CRI_1, TABLES))

    found = ours.strip(changed, globs=())

    assert words in found
    assert "plugins" not in tomllib.loads(found)
    assert "runtime-class-manager" not in found


def test_a_file_says_what_was_added_and_how_to_undo_it() -> None:
    text = block.add("", dialect.CRI_1, TABLES)

    assert text.startswith("# BEGIN runtime-class-manager: runtimes rcm-a, rcm-b; to undo")


def test_no_options_mean_no_options_table() -> None:
    text = block.add("", dialect.CRI_2, block.tables((make.runtime("wasmtime"),)))

    assert "options" not in text
