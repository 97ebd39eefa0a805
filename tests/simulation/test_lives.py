"""Whole simulated lives, as many as five minutes of two cores give (faults.md R6-R12, R15, R18)."""

from __future__ import annotations

import pytest

from tests.simulation import life

SHARES = 8
"""Tests that can run side by side."""
STEPS = 1_000_000
"""Of the planner, in total; `make simulate` runs as many as you like."""
APART = 1_000_000
"""Between the first seeds of two shares: more than one share ever lives."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("share", range(SHARES))
def test_no_invariant_breaks_and_every_cluster_converges(share):
    wanted = life.default_steps(STEPS) // SHARES
    done = sum(outcome.steps for outcome in life.lives(share * APART, wanted))

    assert done >= wanted


@pytest.mark.parametrize("seed", [7, 8])
def test_a_seed_replays_to_the_last_write(seed):
    assert life.live(seed) == life.live(seed)
