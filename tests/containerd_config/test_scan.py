import tomllib

import pytest

from rcm_agent.containerd import scan
from tests.containerd_config import corpus

TRICKY = '''\
# comment with [table] and "quotes
a = 1 # BEGIN
"b c".d = "x # no comment ] \\" [y]"   # yes
e = """
[not a table]
# not a comment
""\\"""""
f = \'\'\'
it\'s [f] # no
\'\'\'\'
g = [ 1, # one
  [ "]", { h = "}" } ], # two
  # three
]
when = 1979-05-27 07:32:00
i = { j = { k = [1, 2] }, "l.m" = 'n' }
[t . "u.v" ]  # header
  w = true
[[x]]
y = 1'''


def test_every_statement_is_found_with_its_full_path() -> None:
    paths = [statement.path for statement in scan.scan(TRICKY).statements]

    assert paths == [
        ("a",),
        ("b c", "d"),
        ("e",),
        ("f",),
        ("g",),
        ("when",),
        ("i",),
        ("t", "u.v"),
        ("t", "u.v", "w"),
        ("x",),
        ("x", "y"),
    ]


def test_values_end_where_tomllib_says() -> None:
    meaning = tomllib.loads(TRICKY)
    root = [s for s in scan.scan(TRICKY).root_keys() if len(s.path) == 1]

    for statement in root:
        value = TRICKY[statement.value : statement.value_end]

        assert meaning[statement.path[0]] == tomllib.loads(f"v = {value}")["v"]


def test_comments_are_told_from_strings() -> None:
    found = [TRICKY[start:end] for start, end in scan.scan(TRICKY).comments]

    assert found == [
        '# comment with [table] and "quotes',
        "# BEGIN",
        "# yes",
        "# one",
        "# two",
        "# three",
        "# header",
    ]


def test_statements_cover_whole_lines() -> None:
    for statement in scan.scan(TRICKY).statements:
        assert statement.start == 0 or TRICKY[statement.start - 1] == "\n"
        assert statement.end == len(TRICKY) or TRICKY[statement.end - 1] == "\n"


@pytest.mark.parametrize("name", corpus.pure())
def test_the_corpus_is_scanned_as_tomllib_reads_it(name) -> None:
    for data in corpus.files(name).values():
        text = data.decode().removeprefix(scan.BOM).replace("\r\n", "\n")
        crlf = text.replace("\n", "\r\n")

        for version in (text, crlf, scan.BOM + text):
            for statement in scan.scan(version).statements:
                found = tomllib.loads(text)
                for key in statement.path:
                    found = found[key]

        assert [s.path for s in scan.scan(text).statements] == [
            s.path for s in scan.scan(crlf).statements
        ]


def test_items_know_their_commas() -> None:
    text = "v = [1, # a\n 2 ,\n 3]"
    items = scan.items(text, 4)

    assert [text[item.start : item.end] for item in items.items] == ["1", "2", "3"]
    assert [item.comma is not None for item in items.items] == [True, True, False]
    assert text[items.close] == "]"
