"""What the fast layer takes for granted, on real controllers over a model of the API server."""

from __future__ import annotations

import pytest

from tests.simulation import wire


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(12))
def test_no_lost_reply_frozen_watch_or_new_leader_exceeds_the_budget(seed):
    assert wire.live(seed) > 0
