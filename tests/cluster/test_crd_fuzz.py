"""Parser and API server agree about manifests that nobody thought of."""

import pytest
from hypothesis import HealthCheck, given, settings

from rcm_api import shim as shims
from rcm_api.fields import InvalidShim
from tests.api import strays
from tests.cluster import shim_api

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def door(shared_control_plane, tmp_path_factory):
    shim_api.install(shared_control_plane)
    return shim_api.Door(shared_control_plane, tmp_path_factory.mktemp("door"))


def test_what_one_refuses_the_other_refuses(door, control_plane):
    del control_plane

    @settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strays.documents())
    def agree(document):
        answer = door.create(document)
        assert answer.status in {201, 400, 422}, answer.message
        assert (answer.status == 201) is _parses(document), answer.message

    agree()


def _parses(document):
    try:
        shims.parse(document)
    except InvalidShim:
        return False
    return True
