"""The journal remembers how the configuration was edited, also after what edited nothing."""

import json

import pytest

from rcm_agent import settings
from tests.crash import scenes


@pytest.mark.parametrize("version", scenes.CONFIGS)
def test_an_upgrade_keeps_the_strategy_of_the_installation(version):
    host = scenes.installed(version).fork()
    before = _strategy(host)
    scenes.install(scenes.GOOD_2)(host.ports)

    assert before in {"in-place", "drop-in", "conf.d"}
    assert _strategy(host) == before


def _strategy(host):
    return json.loads(host.disk.get(settings.JOURNAL))["current"]["strategy"]
