"""What `make bench` tells of a figure."""

from tests.bench import figures


def test_the_median_is_held_against_the_bar():
    assert figures.seconds([0.1, 0.2, 9.0], bar=0.2)["met"]
    assert not figures.seconds([0.1, 0.3, 0.3], bar=0.2)["met"]


def test_a_figure_without_a_bar_is_neither_met_nor_missed():
    assert "met" not in figures.seconds([1.0])


def test_figures_over_their_bars_are_named_by_their_place():
    document = {
        "2.3": {"wall": figures.judged(5, bar=4), "writes": figures.judged(0, bar=0)},
        "runs": [1, 2],
    }

    assert list(figures.missed(document)) == ["2.3.wall"]
