"""Which hosts are served, and with which words others are refused."""

import pytest

from rcm_agent import errors, look, session, settings
from rcm_agent.distro import site
from tests.fakes.host import CONFIG, SOCKET, FakeHost

CHOSEN = settings.Settings()


def refusal(host: FakeHost, chosen: settings.Settings = CHOSEN) -> errors.UnsupportedHost:
    with pytest.raises(errors.UnsupportedHost) as caught:
        session.locate(host.ports, chosen)
    return caught.value


def test_a_plain_host_is_served():
    where = session.locate(FakeHost().ports, CHOSEN)

    assert (where.config, where.socket) == (CONFIG, SOCKET)


@pytest.mark.parametrize(("unit", "name"), list(site.UNITS.items()))
def test_a_distribution_is_known_by_its_unit(unit: str, name: str):
    host = FakeHost()
    host.systemd.others = frozenset({unit, "ssh.service"})
    refused = refusal(host)

    assert f"this is a {name} node: {unit}" in refused.cause
    assert "--unit" in refused.advice
    assert site.distribution(look.clues(host.ports, CHOSEN)) == name


def test_a_person_may_insist():
    host = FakeHost()
    host.systemd.others = frozenset({"k3s.service"})
    chosen = settings.Settings(config=CONFIG, unit="containerd.service")

    assert session.locate(host.ports, chosen).config == CONFIG


def test_a_host_without_such_a_unit_is_what_os_release_says():
    assert site.distribution(look.clues(FakeHost().ports, CHOSEN)) == "debian"


@pytest.mark.parametrize(
    ("far", "what"),
    [("/etc/containerd", "configuration"), ("/run/containerd", "socket")],
)
def test_what_is_not_mounted_into_the_pod_is_told(far: str, what: str):
    host = FakeHost()
    host.disk.out_of_reach = (far,)
    refused = refusal(host)

    assert f"containerd's {what} {far}/" in refused.cause
    assert "mount its directory" in refused.advice


def test_a_configuration_that_is_a_link_to_elsewhere_is_out_of_reach():
    host = FakeHost(config=None, files={"/srv/containerd.toml": b"version = 3\n"})
    host.disk.link("/srv/containerd.toml", CONFIG)
    host.disk.out_of_reach = ("/srv",)

    assert "configuration" in refusal(host).cause
