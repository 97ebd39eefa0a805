import pytest

from rcm_agent.containerd import cgroup
from tests.containerd_config import make

YES, NO = True, False


def runc(systemd, kind: str = "io.containerd.runc.v2") -> dict:
    return {"runtime_type": kind, "options": {} if systemd is None else {"SystemdCgroup": systemd}}


@pytest.mark.parametrize(
    ("release", "default", "runtimes", "expected"),
    [
        pytest.param((2, 1, 9), "runc", {"runc": runc(YES)}, True, id="systemd"),
        pytest.param((1, 7, 24), "runc", {"runc": runc(YES)}, True, id="systemd on 1.7"),
        pytest.param((2, 1, 9), "runc", {"runc": runc(NO)}, False, id="cgroupfs"),
        pytest.param((2, 1, 9), "runc", {"runc": runc(None)}, False, id="not said"),
        pytest.param((1, 6, 20), "runc", {"runc": runc(YES)}, None, id="1.6 drops options"),
        pytest.param(
            (2, 1, 9), "nvidia", {"runc": runc(NO), "nvidia": runc(YES)}, True, id="the default"
        ),
        pytest.param(
            (2, 1, 9),
            "kata",
            {"runc": runc(YES), "kata": runc(None, "io.containerd.kata.v2")},
            True,
            id="the default is not based on runc",
        ),
        pytest.param((2, 1, 9), "crun", {"crun": runc(YES)}, True, id="no runc"),
        pytest.param((2, 1, 9), "x", {"x": runc(None, "y")}, None, id="nothing based on runc"),
        pytest.param((2, 1, 9), "x", {}, None, id="no runtimes"),
    ],
)
def test_wasm_follows_the_node(release, default, runtimes, expected) -> None:
    dump = make.dump(release=release, default=default)
    next(iter(dump["plugins"].values()))["containerd"]["runtimes"] = runtimes

    assert expected is cgroup.systemd_cgroup(dump, release)
