"""What nodes are asked that changes nothing on them."""

import dataclasses

import pytest

from rcm_api import shim_status
from rcm_api.noderuntime import Phase, Wanted
from rcm_controller import actions
from rcm_controller.world import UNNAMED
from tests.controller import looks, make

ACTIVE, PREFETCH = Wanted.ACTIVE, Wanted.PREFETCH
PAUSED = make.wanted(version="2", paused=True)


def alone(*pairs, manifest=make.NEW, node=None, **fields):
    """Return a world of one node."""
    found = node or make.node("a", ready_for=["spin"])
    runtimes = [make.runtime("a", *pairs)] if pairs else []
    view = make.view(manifest, status=make.proven(manifest), **fields)
    return make.world([view], [found], runtimes, [make.runtime_class(manifest)])


def test_every_selected_node_fetches_at_once_dead_ones_too():
    nodes = [make.node("a"), make.node("b", ready=False)]
    world = make.world([make.view()], nodes, classes=[make.runtime_class()])

    assert looks.asked(world) == {"a": (PREFETCH, 0), "b": (PREFETCH, 0)}


def test_an_object_names_its_node_and_says_what_to_fetch():
    world = alone(node=make.node("a"))

    (action,) = (a for a in looks.decide(world) if hasattr(a, "node"))

    assert action.spec.node_uid == "uid-a"
    (entry,) = action.spec.shims
    assert entry == make.entry(make.NEW, PREFETCH, asked_s=0)


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        pytest.param(make.pair("done"), {}, id="settled"),
        pytest.param(make.pair("old"), {"a": (PREFETCH, 0)}, id="due for the new version"),
        pytest.param(make.pair("busy", make.OLD, make.OLD), {}, id="an open question stays"),
        pytest.param(
            make.pair("waiting", make.OLD, make.OLD), {"a": (PREFETCH, 0)}, id="old, at the gate"
        ),
        pytest.param(
            (make.entry(make.OLD, ACTIVE, asked_s=700), None), {"a": (PREFETCH, 0)}, id="given up"
        ),
        pytest.param(
            (
                make.entry(make.OLD, attempt=2),
                make.seen(make.OLD, Phase.ROLLED_BACK, has=make.NEW, observed_attempt=2),
            ),
            {"a": (ACTIVE, 0)},
            id="has the wanted version since a roll-back",
        ),
        pytest.param(
            (
                make.entry(make.OLD, PREFETCH),
                make.seen(make.NEW, Phase.ROLLED_BACK, observed_attempt=2),
            ),
            {"a": (PREFETCH, 2)},
            id="a digest that failed keeps its attempts when it comes back",
        ),
    ],
)
def test_what_a_node_is_asked(pair, expected):
    assert looks.asked(alone(pair)) == expected


@pytest.mark.parametrize("change", [{"paused": True}, {"max_update": 1}])
def test_confirming_what_is_installed_needs_no_turn(change):
    manifest = make.wanted(version="2", **change)
    returned = (make.entry(make.OLD), make.seen(make.OLD, Phase.ROLLED_BACK, has=manifest))

    assert looks.asked(alone(returned, manifest=manifest)) == {"a": (ACTIVE, 0)}


def test_a_paused_shim_fetches_ahead():
    assert looks.asked(alone(make.pair("old"), manifest=PAUSED)) == {"a": (PREFETCH, 0)}


@pytest.mark.parametrize(
    ("field", "value"),
    [("handler", "runc"), ("options", {"SystemdCgroup": True}), ("disruption", "Allow")],
)
def test_an_entry_that_somebody_edited_is_put_back(field, value):
    entry, seen = make.pair("done")
    world = alone((make.entry(make.NEW, **{field: value}), seen))

    (action,) = (a for a in looks.decide(world) if hasattr(a, "spec"))

    assert action.spec.shims == (entry,)


def test_asked_at_moves_only_with_the_question():
    calm = make.wanted(version="2", disruption="WaitForIdle")
    rude = make.wanted(version="2", disruption="Allow")
    world = alone(make.pair("waiting", calm), manifest=rude)

    (action,) = (a for a in looks.decide(world) if hasattr(a, "spec"))

    (entry,) = action.spec.shims
    assert (entry.disruption, entry.asked_at) == ("Allow", make.ago(10))


@pytest.mark.parametrize(
    ("attempt", "age_s", "expected"),
    [
        pytest.param(0, 31, {"a": (PREFETCH, 1)}, id="after the backoff"),
        pytest.param(0, 20, {}, id="not before"),
        pytest.param(5, 961, {"a": (PREFETCH, 6)}, id="more often than a change"),
        pytest.param(8, 9e5, {}, id="not for ever"),
    ],
)
def test_a_failed_download_is_tried_for_an_hour(attempt, age_s, expected):
    entry = make.entry(make.NEW, PREFETCH, attempt=attempt, asked_s=age_s)
    said = make.seen(make.NEW, Phase.FAILED, observed_attempt=attempt, at_s=age_s)

    assert looks.asked(alone((entry, said))) == expected


TOFU = make.wanted(sha256=None)
FOUND = make.sha("what the first node found")


def pinned(sha256=FOUND, location="https://example.com/spin-1.tar.gz"):
    artifact = shim_status.PinnedArtifact(
        os="linux", arch="amd64", location=location, sha256=sha256, trusted_on_first_use=True
    )
    return shim_status.ShimStatus(artifacts=(artifact,))


def trusting(*runtimes, status=make.UNPROVEN, down=(), **policy):
    nodes = [make.node(n, ready=n not in down) for n in "abc"]
    view = make.view(TOFU, status=status)
    return make.world([view], nodes, runtimes, [make.runtime_class(TOFU)], **policy)


def fetched(name, **fields):
    said = make.seen(TOFU, Phase.FETCHED, sha256=FOUND, size=7)
    return make.runtime(name, (make.entry(TOFU, PREFETCH), said), **fields)


def test_without_a_hash_one_node_fetches_first():
    assert len(looks.asked(trusting())) == 1


def test_a_dead_node_is_not_the_first_to_fetch():
    (first,) = looks.asked(trusting())

    assert first not in looks.asked(trusting(down=first))


def test_another_node_fetches_where_the_first_one_cannot():
    (first,) = looks.asked(trusting())
    failed = make.runtime(first, (make.entry(TOFU, PREFETCH), make.seen(TOFU, Phase.FAILED)))

    assert set(looks.asked(trusting(failed))) - {first}


def test_before_the_hash_is_pinned_nothing_is_activated():
    assert looks.activated(trusting(fetched("a"))) == []


def test_the_first_download_is_pinned_and_then_asked_of_all():
    (found,) = looks.status.statuses(trusting(fetched("a")))["spin"].artifacts

    assert (found.sha256, found.size, found.trusted_on_first_use) == (FOUND, 7, True)
    world = trusting(fetched("a"), status=pinned())
    assert set(looks.asked(world)) == {"a", "b", "c"}
    assert all(
        a.spec.shims[0].artifact.sha256 == FOUND for a in looks.decide(world) if hasattr(a, "spec")
    )


def test_what_was_pinned_for_another_location_is_not_trusted():
    world = trusting(status=pinned(location="https://example.com/other.tar.gz"))

    assert len(looks.asked(world)) == 1


@pytest.mark.parametrize("status", [make.UNPROVEN, pinned()], ids=["new", "pinned before"])
def test_where_a_digest_is_required_nothing_happens_without(status):
    world = trusting(fetched("a"), status=status, require_digest=True)

    assert looks.asked(world) == {}
    assert looks.told(world, "Pinned") == ("False", "DigestRequired")


def test_a_node_without_an_artifact_is_left_alone():
    world = make.world([make.view()], [make.node("a", arch="riscv64")])

    assert looks.asked(world) == {}
    assert looks.told(world, "Ready") == ("False", "NoSupportedNode")


def test_an_agent_that_cannot_serve_its_node_is_not_asked_to_change():
    node = make.runtime("a", make.pair("due"), supported=False)
    world = make.world([make.view(make.NEW)], [make.node("a")], [node])

    assert looks.activated(world) == []
    assert looks.status.statuses(world)["spin"].nodes_unsupported == 1


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        pytest.param(make.node("a", uid="new"), ["DeleteNodeRuntime"], id="another machine"),
        pytest.param(None, ["DeleteNodeRuntime"], id="its Node is gone"),
    ],
)
def test_an_object_of_a_former_node_goes(node, expected):
    world = make.world(
        [make.view(make.NEW)],
        [node] if node else [],
        [make.runtime("a", make.pair("done"))],
        [make.runtime_class()],
    )

    assert [type(a).__name__ for a in looks.decide(world)] == expected


@pytest.mark.parametrize("unread", ["a", UNNAMED])
def test_an_object_whose_node_cannot_be_read_stays(unread):
    world = make.world([make.view(make.NEW)], [], [make.runtime("a", make.pair("done"))])
    world = make.replaced(world, unread=frozenset({unread}))

    assert not looks.of(world, actions.DeleteNodeRuntime)


def test_a_new_machine_gets_its_own_object_at_the_next_look():
    world = make.world([make.view()], [make.node("a", uid="new")], [], [make.runtime_class()])

    assert looks.asked(world) == {"a": (PREFETCH, 0)}


def test_an_object_that_is_being_deleted_is_waited_for():
    going = make.runtime("a", make.pair("done"), deletion_timestamp=make.NOW)
    world = make.world([make.view(make.NEW)], [make.node("a")], [going], [make.runtime_class()])

    assert looks.decide(world) == ()


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param(None, ["linux"], id="all Linux nodes"),
        pytest.param({"zone": "x"}, [], id="none"),
        pytest.param({"pool": "wasm"}, ["linux"], id="by a label"),
    ],
)
def test_the_selector_chooses(selector, expected):
    nodes = [make.node("linux", labels={"pool": "wasm"}), make.node("windows", os="windows")]
    world = make.world([make.view(make.wanted(selector=selector))], nodes)

    assert sorted(looks.asked(world)) == expected


def test_a_world_is_not_changed_by_a_look():
    world = make.fleet(due="abc", done="d")
    before = dataclasses.replace(world)
    looks.decide(world)

    assert world == before


def test_what_was_never_answered_is_taken_back_while_a_hash_is_awaited():
    (first,) = looks.asked(trusting())
    (other, *_) = sorted({"a", "b", "c"} - {first})
    open_question = (make.entry(make.OLD, ACTIVE, asked_s=700), make.seen(make.OLD, Phase.FETCHED))
    world = trusting(make.runtime(other, open_question))

    assert looks.asked(world)[other] == (PREFETCH, 0)
    (entry,) = (
        e for a in looks.decide(world) if getattr(a, "node", "") == other for e in a.spec.shims
    )
    assert entry.digest == make.digest(make.OLD)
