"""The gate: whom a restart would end, and what then."""

from dataclasses import dataclass, field

import pytest

from rcm_agent import errors, gate, ports, report


def container(name, *, survives, sandbox=""):
    return ports.Container(
        namespace="k8s.io",
        id=f"id-{name}",
        pid=7,
        name=name,
        sandbox=sandbox,
        survives_restart=survives,
    )


@dataclass
class Containerd:
    """Only what the gate asks."""

    running: tuple[ports.Container, ...]
    stopped: list[str] = field(default_factory=list)

    def containers(self, *, timeout_s):
        assert timeout_s > 0
        return self.running

    def stop(self, found, *, timeout_s):
        assert timeout_s > 0
        self.stopped.append(found.name)


def host(*running):
    return ports.Host(kernel=None, systemd=None, containerd=Containerd(running), machine=None)


def test_containers_that_survive_do_not_block():
    gate.clear(host(container("a", survives=True)), allow=False, tell=report.Silent())


def test_one_that_would_end_blocks_and_is_named():
    found = host(container("a", survives=True), container("shop/cart/web", survives=False))

    with pytest.raises(errors.Blocked, match="shop/cart/web") as caught:
        gate.clear(found, allow=False, tell=report.Silent())

    assert found.containerd.stopped == []
    assert caught.value.exit_code == 6


def test_with_leave_they_are_stopped_each_sandbox_once():
    found = host(
        container("p", survives=False, sandbox="s"),
        container("p/c", survives=False, sandbox="s"),
        container("single", survives=False),
        container("other", survives=False),
        container("runc", survives=True),
    )

    gate.clear(found, allow=True, tell=report.Silent())

    assert found.containerd.stopped == ["p", "single", "other"]


def test_many_are_counted_after_the_first_five():
    many = tuple(container(f"c{n}", survives=False) for n in range(9))

    assert gate.names(many) == "c0, c1, c2, c3, c4 and 4 more"
