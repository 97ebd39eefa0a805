import tomllib

import tomlkit
from hypothesis import given
from hypothesis import strategies as some

from rcm_agent.containerd import toml

# A lone surrogate cannot be in a UTF-8 file, so it cannot be in a manifest either.
TEXTS = some.text(some.characters(exclude_categories=["Cs"]))
VALUES = some.recursive(
    some.booleans() | some.integers(-(2**63), 2**63 - 1) | TEXTS | some.floats(allow_nan=False),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(some.dictionaries(TEXTS, VALUES, max_size=4), TEXTS)
def test_what_is_written_is_read_back(content, name) -> None:
    text = "\n".join(toml.tables(("plugins", name), content))

    assert {"plugins": {name: content}} == tomllib.loads(text)


@given(TEXTS, VALUES)
def test_another_reader_agrees(name, value) -> None:
    text = f"{toml.key(name)} = {toml.value(value)}"

    assert {name: value} == tomlkit.parse(text).unwrap()


@given(VALUES)
def test_a_value_is_one_line(value) -> None:
    assert "\n" not in toml.value(value)


def test_an_option_cannot_break_out_of_its_string() -> None:
    evil = '"\n]\n[plugins.x]\na = "'

    assert {"v": evil} == tomllib.loads(f"v = {toml.value(evil)}")


def test_a_byte_order_mark_does_not_disturb() -> None:
    assert toml.parse(b"\xef\xbb\xbfa = 1\r\n") == {"a": 1}
