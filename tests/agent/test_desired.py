"""From Shims to this node: artifact, conflicts, options."""

import pytest

from rcm_agent import desired, errors
from rcm_api import shim as shims
from tests.agent import make
from tests.api.test_shim import manifest

NEW, OLD = (1, 7, 24), (1, 6, 20)


def wanted(name="spin-v2", handler="spin-v2"):
    document = manifest(runtimeClass={"name": "c", "handler": handler})
    document["metadata"] = {"name": name}
    return shims.parse(document)


def test_a_shim_without_an_artifact_for_this_machine_is_refused():
    with pytest.raises(errors.UnsupportedHost, match="linux/arm64"):
        desired.select([wanted()], arch="arm64")


def test_two_shims_of_one_handler_are_refused():
    with pytest.raises(errors.ManifestError, match="both claim"):
        desired.select([wanted("a", "x"), wanted("b", "x")], arch="amd64")


def test_one_shim_given_twice_is_refused():
    with pytest.raises(errors.ManifestError, match="twice"):
        desired.select([wanted(), wanted()], arch="amd64")


def test_the_handler_of_an_installed_shim_is_taken():
    found = desired.select([wanted("b", "x")], arch="amd64")

    with pytest.raises(errors.ManifestError, match="both claim"):
        desired.refuse_conflicts([make.shim("a", handler="x")], found)


def test_a_shim_may_change_its_own_handler():
    found = desired.select([wanted("a", "y")], arch="amd64")

    desired.refuse_conflicts([make.shim("a", handler="x")], found)


@pytest.mark.parametrize(
    ("options", "node", "release", "expected", "warned"),
    [
        pytest.param({}, True, NEW, {"SystemdCgroup": True}, False, id="follows systemd"),
        pytest.param({}, False, NEW, {}, False, id="follows cgroupfs: no table at all"),
        pytest.param({}, None, NEW, {}, False, id="node does not say"),
        pytest.param({"SystemdCgroup": True}, True, NEW, {"SystemdCgroup": True}, False, id="same"),
        pytest.param(
            {"SystemdCgroup": True}, False, NEW, {"SystemdCgroup": True}, True, id="differs"
        ),
        pytest.param({"SystemdCgroup": True}, True, OLD, {}, True, id="1.6 hands none over"),
        pytest.param({}, True, OLD, {}, False, id="1.6, none wanted"),
    ],
)
def test_the_cgroup_option_follows_the_node(options, node, release, expected, warned):
    found, warnings = desired.effective_options(options, systemd_cgroup=node, release=release)

    assert dict(found) == expected
    assert bool(warnings) is warned
