"""One marked change to `imports`, in every shape that a list can have, and back."""

import tomllib

import pytest

from rcm_agent.containerd import marks, ours, patterns_edit

GLOBS = ("/etc/containerd/rcm.d/*.toml", "/run/rcm/*.toml")

SHAPES = [
    pytest.param("", id="empty"),
    pytest.param("\ufeff", id="only a byte order mark"),
    pytest.param("# only a comment", id="only a comment"),
    pytest.param("version = 2", id="no line end"),
    pytest.param("version = 2\n", id="no imports"),
    pytest.param("version = 2\n\n[a]\nimports = ['/no']\n", id="imports of a table"),
    pytest.param("[a]\nb = 1\n", id="a table in the first line"),
    pytest.param("\ufeff[a]\nb = 1\n", id="byte order mark, a table in the first line"),
    pytest.param("# c\n[a]\nb = 1\n", id="comment and table"),
    pytest.param("a = '''\n[x]\n'''\n[b]\n", id="a header in a string"),
    pytest.param("imports = []\n", id="empty list"),
    pytest.param("imports = [ ]", id="empty list, no line end"),
    pytest.param("imports = [\n]\n", id="empty list on two lines"),
    pytest.param("imports = [ # none\n]\n", id="empty list with a comment"),
    pytest.param('imports = ["/a"]\nversion = 2\n', id="one line, the first"),
    pytest.param('version = 2\nimports = ["/a", "/b"] # why\n[c]\n', id="one line, a comment"),
    pytest.param('imports = ["/a", ]\n', id="trailing comma"),
    pytest.param('imports = [\n  "/a",\n  "/b"\n]\n', id="several lines"),
    pytest.param('imports = [\n  "/a",\n  "/b", # last\n]\n', id="several lines, comma, comment"),
    pytest.param('imports = [\n  "/a" # last\n  # end\n  ]\n', id="comments at the end"),
    pytest.param('imports = [\n  "/a",\n  "/b"]\n', id="bracket behind the last"),
    pytest.param('imports = ["/a",\n  "/b" ]\n', id="bracket behind a blank"),
    pytest.param("'imports' = ['/a]']\n", id="quoted key, bracket in a string"),
    pytest.param('"imports"=["/a", "/b#"]\n', id="quoted key, hash in a string"),
    pytest.param('x = "imports = []"\nimports = ["/a"]\n', id="imports in a string"),
]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("text", SHAPES)
def test_ours_come_last_and_everything_else_stays(text, newline) -> None:
    text = text.replace("\n", newline)

    edited = patterns_edit.add(text, GLOBS)

    meaning = tomllib.loads(text.removeprefix("\ufeff"))
    meaning["imports"] = [*meaning.get("imports", []), *GLOBS]
    assert meaning == tomllib.loads(edited.removeprefix("\ufeff"))
    assert len(marks.find(edited)) == 1
    assert text.startswith("\ufeff") == edited.startswith("\ufeff")
    if newline == "\r\n" and "\r\n" in text:
        assert "\n" not in edited.replace("\r\n", "")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("text", SHAPES)
def test_taking_it_out_gives_the_same_bytes(text, newline) -> None:
    text = text.replace("\n", newline)

    assert text == ours.strip(patterns_edit.add(text, GLOBS), globs=GLOBS)


@pytest.mark.parametrize("text", SHAPES)
def test_adding_twice_is_adding_once(text) -> None:
    edited = patterns_edit.add(text, GLOBS)

    assert edited is patterns_edit.add(edited, GLOBS)


@pytest.mark.parametrize("text", SHAPES)
def test_without_the_marks_it_still_comes_out(text) -> None:
    """A tool dropped our comments but kept our imports."""
    edited = patterns_edit.add(text, GLOBS)
    unmarked = "\n".join(
        line.partition(" # BEGIN")[0]
        for line in edited.split("\n")
        if not line.strip().startswith(("# BEGIN", "# END"))
    )

    found = ours.strip(unmarked, globs=GLOBS)

    expected = tomllib.loads(text.removeprefix("\ufeff"))
    assert {"imports": [], **expected} == {"imports": [], **tomllib.loads(found.lstrip("\ufeff"))}


@pytest.mark.parametrize(
    ("text", "edit", "expected"),
    [
        pytest.param(
            'imports = ["/a"]\n',
            lambda text: text.replace('"/a"', '"/b", "/a"'),
            'imports = ["/b", "/a"]\n',
            id="an import in front",
        ),
        pytest.param(
            'imports = ["/a"]\n',
            lambda text: text.replace("\n]", '\n, "/b"]'),
            'imports = ["/a", "/b"]\n',
            id="an import behind",
        ),
        pytest.param(
            'imports = [\n  "/a",\n]\n',
            lambda text: text.replace("\n]", '\n  "/b",\n]'),
            'imports = [\n  "/a",\n  "/b",\n]\n',
            id="an import on a line behind",
        ),
        pytest.param(
            "version = 2\n",
            lambda text: text.replace("version = 2", "version = 3"),
            "version = 3\n",
            id="another line",
        ),
        pytest.param(
            "version = 2\n",
            lambda text: text + "[debug]\nlevel = 'info'\n",
            "version = 2\n[debug]\nlevel = 'info'\n",
            id="a table at the end",
        ),
        pytest.param(
            "version = 2",
            lambda text: text + "\n[debug]\n",
            "version = 2\n[debug]\n",
            id="a table behind a missing line end",
        ),
    ],
)
def test_what_others_changed_meanwhile_stays(text, edit, expected) -> None:
    changed = edit(patterns_edit.add(text, GLOBS))

    assert expected == ours.strip(changed, globs=GLOBS)


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        pytest.param(
            "version = 2\n",
            lambda text: text.replace('toml"]', 'toml", "/b"]'),
            id="an import between our marks, in our line",
        ),
        pytest.param(
            'imports = ["/a"]\n',
            lambda text: text.replace('  , "/etc', '  , "/b", "/etc'),
            id="an import between our marks, in their list",
        ),
        pytest.param(
            "version = 2\n",
            lambda text: text.replace("# END", "imported = '/b'\n# END"),
            id="a key between our marks",
        ),
    ],
)
def test_what_others_wrote_between_our_marks_stays(text, edit) -> None:
    changed = edit(patterns_edit.add(text, GLOBS))

    found = ours.strip(changed, globs=GLOBS)

    assert "/b" in str(tomllib.loads(found))
    assert "rcm" not in str(tomllib.loads(found))
    assert "runtime-class-manager" not in found


def test_marks_in_strings_are_none() -> None:
    text = 'a = """\n# BEGIN runtime-class-manager: x\n# END runtime-class-manager\n"""\n'

    assert marks.find(text) == ()
    assert text == ours.strip(text, globs=GLOBS)


def test_a_begin_without_end_is_no_mark() -> None:
    text = "# BEGIN runtime-class-manager: x\nversion = 2\n"

    assert text == ours.strip(text, globs=GLOBS)
