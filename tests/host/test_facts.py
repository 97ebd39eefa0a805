"""What a node is, as its status reports it."""

import pathlib
import tomllib

import pytest

from rcm_agent import look, session, settings
from rcm_agent.host import facts
from rcm_api import noderuntime, version
from tests.fakes.host import CONFIG, FakeHost

ROOT = pathlib.Path(__file__).parents[2]
CHOSEN = settings.Settings()


@pytest.fixture
def fake() -> FakeHost:
    return FakeHost("1.7.24", config=b"version = 2\n")


def read(host: FakeHost, known: facts.Facts | None = None) -> noderuntime.Facts:
    where = session.locate(host.ports, CHOSEN)
    return (known or facts.Facts(host.ports)).read(where, strategy="in-place")


def test_a_node_tells_what_it_is(fake: FakeHost):
    assert read(fake) == noderuntime.Facts(
        os="linux",
        arch="amd64",
        distribution="debian",
        containerd="1.7.24",
        schema=2,
        strategy="in-place",
        machine_id="0123456789abcdef0123456789abcdef",
        boot_id="boot-1",
        agent=version.VERSION,
    )


@pytest.mark.parametrize(
    ("config", "schema"),
    [
        pytest.param(b"", 1, id="no version is the first"),
        pytest.param(b"version = 3\n", 3, id="as it says"),
        pytest.param(None, 0, id="no file"),
        pytest.param(b"version = \n", 0, id="not TOML"),
        pytest.param(b'version = "2"\n', 0, id="not a number"),
    ],
)
def test_the_schema_is_the_file_s(config: bytes | None, schema: int):
    host = FakeHost("2.3.4", start=False, config=config)

    assert read(host).schema == schema


def test_an_image_s_machine_id_is_none():
    host = FakeHost(files={"/etc/machine-id": b"uninitialized\n"})

    assert read(host).machine_id == ""


def test_the_host_is_asked_once_per_start_of_containerd(fake: FakeHost):
    known = facts.Facts(fake.ports)
    before = read(fake, known)
    fake.disk.put(CONFIG, b"version = 1\n")

    assert read(fake, known) == before
    fake.restart_containerd()
    assert read(fake, known).schema == 1


def test_an_unknown_containerd_is_asked_again(fake: FakeHost):
    known = facts.Facts(fake.ports)
    fake.daemon.up = False
    assert read(fake, known).containerd == ""

    fake.daemon.up = True

    assert read(fake, known).containerd == "1.7.24"


def test_a_host_that_cannot_be_served_has_facts_too(fake: FakeHost):
    found = facts.Facts(fake.ports).read(None, distribution="k3s")

    assert (found.os, found.distribution, found.containerd) == ("linux", "k3s", "")
    assert found.machine_id


def test_the_version_is_the_project_s():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert project["version"] == version.VERSION


def test_the_clues_are_of_the_same_system(fake: FakeHost):
    assert look.clues(fake.ports, CHOSEN).os_id == "debian"
