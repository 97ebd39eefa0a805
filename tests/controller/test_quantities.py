"""Quantities as an API server gives them back."""

import pytest

from rcm_controller import quantities


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("0.25", "250m"),
        (1, "1"),
        ("1000m", "1"),
        ("64Mi", "65536Ki"),
        ("1e3", "1k"),
        ("1E3", "1000"),
        ("1.5Gi", "1536Mi"),
        ("0.1n", "1n"),
    ],
)
def test_another_spelling_is_the_same_amount(written: object, stored: str) -> None:
    assert quantities.same({"podFixed": {"cpu": stored}}, {"podFixed": {"cpu": written}})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"podFixed": {"memory": "64Mi"}}, {"podFixed": {"memory": "64M"}}),
        ({"podFixed": {"memory": "64Mi"}}, {"podFixed": {"cpu": "64Mi"}}),
        ({"podFixed": {"memory": "64Mi"}}, {}),
        ({"podFixed": {"memory": "64Qi"}}, {"podFixed": {"memory": "64"}}),
    ],
)
def test_another_amount_is_not(one: dict, other: dict) -> None:
    assert not quantities.same(one, other)


def test_what_is_no_quantity_has_no_value() -> None:
    assert [quantities.value(text) for text in ("", "x", "1Qi", "--1")] == [None] * 4
