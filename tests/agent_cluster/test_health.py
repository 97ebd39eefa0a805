"""What kubelet is told about an agent."""

from rcm_agent.cluster import health
from rcm_agent.host import terms


def test_a_loop_that_does_not_move_is_told_with_its_silence():
    now = [100.0]
    pulse = health.Pulse(lambda: now[0])
    now[0] += health.STUCK_S
    assert pulse.alive() == ""

    now[0] += 1

    assert pulse.alive() == f"the loop has not moved for {health.STUCK_S + 1:.0f} s"
    pulse.beat()
    assert pulse.alive() == ""


def test_the_longest_download_is_no_stuck_loop():
    assert terms.Policy().deadline_s < health.STUCK_S


def test_an_agent_is_ready_once_it_has_read_its_object():
    pulse = health.Pulse(lambda: 0.0)
    assert "not read yet" in pulse.ready()

    pulse.read()

    assert pulse.ready() == ""
