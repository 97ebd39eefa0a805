"""Scenes as fixtures, built when a test asks for them."""

from __future__ import annotations

import pytest

from tests.crash import scenes


@pytest.fixture
def scene(request):
    return scenes.get(*request.param)


@pytest.fixture
def points(request):
    """Every point of the scene that the test is parametrized with."""
    return scenes.points(*request.node.callspec.params["scene"])
