"""One elector over a model of the API server, with faults and other holders."""

import pytest
import structlog.testing

from rcm_api.client import api, resources
from rcm_controller import leader
from tests.controller_run.hands import Hands
from tests.fakes.apiserver import faulty, model


class Desk:
    def __init__(self):
        self.time = Hands()
        self.server = model.Server(now=lambda: self.time.seconds)
        self.server.namespaces.add("default")
        self.moves = faulty.Faulty(self.server)
        self.user = api.Client(self.server, manager="user")
        self.elector = self.another("me")

    def another(self, identity: str) -> leader.Elector:
        return leader.Elector(
            api.Client(self.moves, manager="m"),
            namespace="default",
            name="lease",
            identity=identity,
            time=self.time,
        )

    def step(self, times: int = 1) -> float:
        """Step, and let the time pass that it wants."""
        wait = 0.0
        for _ in range(times):
            wait = self.elector.step()
            self.time.seconds += wait
        return wait

    def spec(self) -> dict:
        return self.server.document(resources.LEASES, "lease", "default")["spec"]

    def edit(self, **spec: object) -> None:
        self.user.patch(
            resources.LEASES,
            "lease",
            api.Patch({"spec": spec}),
            namespace="default",
            decode=api.ignore,
        )


def test_the_first_one_leads_at_once_and_renews_every_two_seconds():
    desk = Desk()

    assert desk.step() == 2.0
    assert desk.elector.term() == 1
    assert desk.spec()["holderIdentity"] == "me"
    assert desk.spec()["leaseDurationSeconds"] == 15
    assert desk.spec()["renewTime"].endswith("Z")
    assert len(desk.spec()["renewTime"]) == len("2026-01-01T00:00:00.000000Z")

    acquired = desk.spec()["acquireTime"]
    desk.step(3)

    assert desk.spec()["acquireTime"] == acquired
    assert desk.spec()["leaseTransitions"] == 1


def test_a_standby_looks_each_second_and_takes_over_when_the_lease_stood_still():
    desk = Desk()
    desk.step()
    desk.edit(holderIdentity="other", leaseTransitions=3)
    desk.elector = desk.another("you")
    began = desk.time.seconds
    while desk.elector.term() == 0:
        desk.step()

    assert 15 <= desk.time.seconds - began <= 18
    assert desk.spec()["leaseTransitions"] == 4


def test_a_standby_says_once_behind_whom_it_stands():
    desk = Desk()
    desk.step()
    desk.elector = desk.another("you")
    with structlog.testing.capture_logs() as lines:
        desk.step(3)
        desk.edit(holderIdentity="other")
        desk.step(3)

    assert [(line["event"], line["leader"]) for line in lines] == [
        ("standing by", "me"),
        ("standing by", "other"),
    ]


def test_a_renewal_whose_reply_was_lost_is_recognized():
    desk = Desk()
    desk.step()
    desk.moves.next(faulty.NoReply(), when=faulty.writes)
    desk.step(2)

    assert desk.elector.term() == 1
    assert desk.spec()["holderIdentity"] == "me"


def test_a_lease_that_another_one_holds_ends_the_term():
    desk = Desk()
    desk.step()
    desk.edit(holderIdentity="other")

    assert desk.step() == 1.0
    assert desk.elector.term() == 0


def test_a_lease_that_was_deleted_is_made_again():
    desk = Desk()
    desk.step()
    desk.user.delete(resources.LEASES, "lease", namespace="default")
    desk.step()

    assert desk.elector.term() == 1
    assert desk.spec()["holderIdentity"] == "me"


def test_a_leader_that_cannot_renew_ends_its_term_after_ten_seconds():
    desk = Desk()
    desk.step()
    began = desk.time.seconds - 2.0
    desk.moves.decide = lambda _request: faulty.NotSent()
    while desk.elector.term():
        desk.time.seconds += 0.1

    assert desk.time.seconds - began == pytest.approx(10.0, abs=0.2)

    desk.step()
    desk.moves.decide = lambda _request: None
    desk.step(2)

    assert desk.elector.term() == 2, "its own lease is free to it, in a new term"


def test_a_release_finds_its_own_renewal_whose_reply_was_lost():
    desk = Desk()
    desk.step()
    desk.moves.next(faulty.NoReply(), when=faulty.writes)
    desk.step()
    desk.elector.release()

    assert desk.spec()["holderIdentity"] == ""


def test_a_release_takes_nothing_from_another_holder():
    desk = Desk()
    desk.step()
    desk.edit(holderIdentity="other")
    desk.elector.release()

    assert desk.spec()["holderIdentity"] == "other"


def test_a_release_that_fails_is_left_to_time():
    desk = Desk()
    desk.step()
    desk.moves.decide = lambda _request: faulty.NotSent()
    desk.elector.release()

    assert desk.elector.term() == 0
    assert desk.spec()["holderIdentity"] == "me"


def test_who_does_not_hold_the_lease_releases_nothing():
    desk = Desk()
    desk.elector.release()

    assert desk.moves.asked == 0


def test_of_two_candidates_one_wins():
    desk = Desk()
    first, second = desk.another("a"), desk.another("b")
    desk.moves.next(faulty.Refuse(404, "NotFound"), times=2)
    first.step()
    second.step()

    assert sorted((first.term(), second.term())) == [0, 1]
