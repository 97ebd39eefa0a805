"""Which nodes change next."""

import dataclasses

import pytest

from rcm_api.noderuntime import Phase, Wanted
from rcm_controller.world import Policy
from tests.controller import looks, make

UNPROVEN = make.UNPROVEN


def new(**rollout):
    return make.wanted(version="2", **rollout)


@pytest.mark.parametrize(
    ("most", "nodes", "expected"),
    [
        pytest.param("10%", 10, 1, id="a tenth of ten"),
        pytest.param("10%", 19, 1, id="rounded down"),
        pytest.param("10%", 5, 1, id="at least one"),
        pytest.param("34%", 6, 2, id="a third of six"),
        pytest.param("100%", 7, 7, id="all"),
        pytest.param(3, 7, 3, id="a number"),
        pytest.param(1_000_000, 7, 7, id="more than there are"),
    ],
)
def test_max_update_says_how_many_change(most, nodes, expected):
    world = make.fleet(new(max_update=most), due=[f"n{i:02}" for i in range(nodes)])

    assert len(looks.activated(world)) == expected


@pytest.mark.parametrize(
    ("spent", "down"),
    [
        pytest.param({"busy": "xyz"}, "", id="changing"),
        pytest.param({"waiting": "xyz"}, "", id="at the gate"),
        pytest.param({"failed": "xyz"}, "", id="failed"),
        pytest.param({"stuck": "xyz"}, "", id="without an answer"),
        pytest.param({"done": "xyz"}, "xyz", id="down, whatever they have"),
        pytest.param({"busy": "x", "failed": "y", "old": "z"}, "z", id="one of each"),
    ],
)
def test_nodes_that_change_or_are_broken_spend_the_budget(spent, down):
    manifest = new(max_update=4, max_failures=9)
    world = make.fleet(manifest, due="abc" if "waiting" not in spent else "", down=down, **spent)

    assert len(looks.activated(world)) == (0 if "waiting" in spent else 1)


def unseen(world, *hidden, another=""):
    """Return a world whose Nodes are older than its NodeRuntimes."""
    nodes = {n: node for n, node in world.nodes.items() if n not in hidden}
    former = {n: make.node(n, uid="former", ready_for=["spin"]) for n in another}
    return dataclasses.replace(world, nodes={**nodes, **former})


@pytest.mark.parametrize("another", ["", "x"], ids=["no Node", "another UID"])
@pytest.mark.parametrize(
    ("state", "expected"),
    [("busy", 1), ("waiting", 1), ("failed", 1), ("stuck", 1), ("done", 2), ("fetching", 2)],
)
def test_a_node_spends_the_budget_also_while_its_node_object_is_not_known(state, expected, another):
    manifest = new(max_update=2, max_failures=9)
    world = make.fleet(manifest, due="abc", **{state: "x"})

    assert len(looks.activated(unseen(world, "x", another=another))) == expected


@pytest.mark.parametrize(
    ("state", "expected"), [("busy", 0), ("failed", 0), ("done", 1), ("fetching", 1)]
)
def test_a_canary_is_one_also_while_its_node_object_is_not_known(state, expected):
    world = make.fleet(new(max_update=9), status=UNPROVEN, due="abc", **{state: "x"})

    assert len(looks.activated(unseen(world, "x"))) == expected


@pytest.mark.parametrize(("state", "expected"), [("busy", []), ("done", ["a"])])
def test_a_control_plane_waits_for_a_node_that_may_be_another_one(state, expected):
    world = make.fleet(new(max_update=9), masters="a", due="a", **{state: "x"})

    assert looks.activated(unseen(world, "x")) == expected


def test_a_node_whose_object_is_being_deleted_spends_the_budget():
    """Somebody's finalizer holds the object, and its agent goes on meanwhile."""
    world = make.fleet(new(max_update=2), due="abc", busy="x")
    gone = make.runtime("x", make.pair("busy", new()), deletion_timestamp=make.NOW)

    found = dataclasses.replace(world, runtimes={**world.runtimes, "x": gone})

    assert len(looks.activated(found)) == 1


def test_nothing_more_changes_when_the_budget_is_spent():
    world = make.fleet(new(max_update=2, max_failures=9), busy="a", failed="b", due="cdef")

    assert looks.activated(world) == []


def test_a_ready_node_leaves_the_budget_and_is_labelled_in_the_same_look():
    world = make.fleet(new(max_update=1), done="a", due="bc")
    bare = make.node("a")
    world = dataclasses.replace(world, nodes={**world.nodes, "a": bare})

    assert len(looks.activated(world)) == 1
    assert looks.labels(world) == {"a": {"spin": True}}


def test_a_node_that_is_down_is_not_asked_to_change():
    world = make.fleet(new(max_update=5), due="abc", down="ab")

    assert looks.activated(world) == ["c"]


@pytest.mark.parametrize(
    ("canaries", "states", "expected"),
    [
        pytest.param(1, {"due": "abcd"}, 1, id="one goes first"),
        pytest.param(2, {"due": "abcd"}, 2, id="two go first"),
        pytest.param(1, {"busy": "a", "due": "bcd"}, 0, id="it is at work"),
        pytest.param(1, {"done": "a", "due": "bcd"}, 0, id="it is done, and not soaked"),
        pytest.param(2, {"done": "a", "due": "bcd"}, 1, id="the second one"),
        pytest.param(1, {"failed": "a", "due": "bcd"}, 0, id="it failed"),
    ],
)
def test_canaries_of_an_unproven_class_go_first(canaries, states, expected):
    manifest = new(canary_nodes=canaries, max_update=9)
    world = make.fleet(manifest, status=UNPROVEN, **states)

    assert len(looks.activated(world)) == expected


def test_each_class_has_its_own_canaries():
    classes = {"c": make.FLATCAR, "d": make.FLATCAR}
    world = make.fleet(new(max_update=9), status=UNPROVEN, classes=classes, due="abcd")

    found = looks.activated(world)

    assert len(found) == 2
    assert len({"a", "b"} & set(found)) == 1


def test_canaries_obey_the_budget_too():
    classes = {"b": make.FLATCAR}
    world = make.fleet(new(max_update=1), status=UNPROVEN, classes=classes, due="ab")

    assert len(looks.activated(world)) == 1


def test_a_proven_class_does_not_wait_for_another_ones_canary():
    classes = {"c": make.FLATCAR, "d": make.FLATCAR}
    world = make.fleet(new(max_update=9), classes=classes, done="a", due="bd", busy="c")

    assert looks.activated(world) == ["b"]


@pytest.mark.parametrize(
    ("soaked_s", "expected"),
    [
        pytest.param(29, [], id="not long enough"),
        pytest.param(30, ["b"], id="long enough"),
        pytest.param(-300, [], id="a leader's clock was ahead"),
    ],
)
def test_a_class_soaks_before_its_waves(soaked_s, expected):
    manifest = new(max_update=9, soak_seconds=30)
    status = make.proven(manifest, at_s=soaked_s)
    world = make.fleet(manifest, status=status, done="a", due="b")

    assert looks.activated(world) == expected


def test_a_proof_of_the_former_version_opens_nothing():
    world = make.fleet(new(max_update=9), status=make.proven(make.OLD), done="a", due="bc")

    assert looks.activated(world) == []


@pytest.mark.parametrize(
    ("limit", "states", "stopped"),
    [
        pytest.param(None, {"failed": "a"}, False, id="one may be the node's fault"),
        pytest.param(None, {"failed": "ab"}, True, id="two are not"),
        pytest.param(None, {"failed": "a", "stuck": "b"}, True, id="no answer is a failure"),
        pytest.param(3, {"failed": "ab"}, False, id="below the given limit"),
        pytest.param(3, {"failed": "abc"}, True, id="at the given limit"),
        pytest.param("50%", {"failed": "ab"}, False, id="below the given share"),
        pytest.param(None, {"unfetched": "abc"}, False, id="failed downloads touched nothing"),
    ],
)
def test_a_rollout_stops_at_max_failures(limit, states, stopped):
    world = make.fleet(new(max_update=9, max_failures=limit), due="wxyz", **states)

    assert (looks.activated(world) == []) is stopped


def test_a_dead_node_that_was_being_changed_counts_as_failed():
    world = make.fleet(new(max_update=9), stuck="ab", due="wxyz", down="ab")

    assert looks.activated(world) == []


def test_paused_means_no_node_begins_to_change():
    assert looks.activated(make.fleet(new(max_update=9, paused=True), due="abc")) == []


def test_recreate_changes_all_workers_at_once():
    world = make.fleet(new(type="recreate"), status=UNPROVEN, due="abc", failed="xyz", masters="c")

    assert [n for n in looks.activated(world) if n in "abc"] == ["a", "b"]


@pytest.mark.parametrize(
    ("states", "down", "expected"),
    [
        pytest.param({"done": "a", "due": "xyz"}, "", 1, id="one by one"),
        pytest.param({"due": "axyz"}, "", 1, id="workers first"),
        pytest.param({"busy": "a", "due": "xyz"}, "", 0, id="a worker is at work"),
        pytest.param({"fetching": "a", "due": "xyz"}, "", 0, id="a worker is fetching"),
        pytest.param({"old": "a", "due": "xyz"}, "a", 1, id="a dead worker is not waited for"),
        pytest.param({"done": "ax", "due": "yz", "busy": ""}, "x", 0, id="one of them is down"),
        pytest.param({"done": "a", "busy": "x", "due": "yz"}, "", 0, id="one is at work"),
        pytest.param({"done": "a", "failed": "x", "due": "yz"}, "", 0, id="one of them failed"),
    ],
)
def test_control_planes_come_last_and_singly(states, down, expected):
    world = make.fleet(new(max_update=9), masters="xyz", down=down, **states)

    assert len(looks.activated(world)) == expected


def test_with_control_planes_only_one_of_them_is_the_canary():
    world = make.fleet(new(max_update=9), status=UNPROVEN, masters="xyz", due="xyz")

    assert len(looks.activated(world)) == 1


def test_idle_nodes_go_before_those_with_pods():
    world = make.fleet(new(max_update=2), due="mn", blocked="abcdef")

    assert looks.activated(world) == ["m", "n"]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        pytest.param({"waiting": "ab", "due": "c"}, 1, id="one makes room for one"),
        pytest.param({"waiting": "ab", "due": "cdef"}, 2, id="two make room"),
        pytest.param({"waiting": "ab", "blocked": "cd"}, 0, id="for nobody who would wait too"),
        pytest.param({"waiting": "a", "due": "c"}, 0, id="there is room"),
    ],
)
def test_waiting_nodes_make_room_for_idle_ones(states, expected):
    world = make.fleet(new(max_update=2), **states)

    assert len(looks.withdrawn(world)) == expected


def test_a_withdrawn_node_holds_its_place_until_it_says_so():
    manifest = new(max_update=1)
    world = make.fleet(manifest, due="bc", waiting="a")
    held = make.entry(manifest, Wanted.PREFETCH)
    waiting = make.runtime("a", (held, make.seen(manifest, Phase.WAITING, has=make.OLD)))
    world = dataclasses.replace(world, runtimes={**world.runtimes, "a": waiting})

    assert looks.activated(world) == []


def test_a_waiting_canary_makes_room_for_an_idle_one():
    world = make.fleet(new(max_update=9), status=UNPROVEN, waiting="a", due="bc")

    assert looks.withdrawn(world) == ["a"]


def twins(*, first, second, ready="abcdef", **rollout):
    """Return a world of two Shims; `first` and `second` name the nodes' states."""
    spin = make.wanted("spin", version="2", **rollout)
    wasm = make.wanted("wasm", version="2", **rollout)
    old = make.wanted("wasm", version="1")
    return make.world(
        shims=[make.view(m, status=make.proven(m)) for m in (spin, wasm)],
        nodes=[make.node(n, ready_for=["spin", "wasm"]) for n in ready],
        runtimes=[
            make.runtime(n, make.pair(first[n], spin), make.pair(second[n], wasm, old))
            for n in ready
        ],
        classes=[make.runtime_class(spin), make.runtime_class(wasm)],
    )


def every(state):
    return dict.fromkeys("abcdef", state)


def test_shims_that_change_at_once_meet_on_the_same_nodes():
    world = twins(first=every("due"), second=every("due"), max_update=2)

    assert looks.activated(world, "spin") == looks.activated(world, "wasm")
    assert len(looks.activated(world)) == 2


def test_a_node_waits_for_the_other_shims_download():
    second = {**every("due"), "a": "fetching", "b": "fetching"}
    world = twins(first=every("due"), second=second, max_update=6)

    assert looks.activated(world, "spin") == ["c", "d", "e", "f"]


@pytest.mark.parametrize("state", ["unfetched", "done", "failed"])
def test_a_node_does_not_wait_for_what_will_not_come(state):
    second = {**every("done"), "a": state}
    world = twins(first=every("due"), second=second, max_update=6)

    assert "a" in looks.activated(world, "spin")


def test_a_paused_shim_is_not_waited_for():
    world = twins(first=every("due"), second=every("fetching"), max_update=6)
    paused = make.wanted("wasm", version="2", paused=True)
    shims = {**world.shims, "wasm": make.view(paused, status=make.proven(paused))}

    assert len(looks.activated(dataclasses.replace(world, shims=shims), "spin")) == 6


def test_control_planes_are_single_across_shims():
    masters = twins(first=every("due"), second={**every("done"), "a": "busy"}, max_update=6)
    role = "node-role.kubernetes.io/control-plane"
    nodes = {n: make.node(n, control_plane=True, ready_for=["spin", "wasm"]) for n in masters.nodes}
    assert role in nodes["a"].labels

    world = dataclasses.replace(masters, nodes=nodes)

    assert looks.activated(world, "spin") in ([], ["a"])


@pytest.mark.parametrize(
    ("attempt", "said_s", "asked_s", "again"),
    [
        pytest.param(0, 29, 60, False, id="too early by the node's clock"),
        pytest.param(0, 60, 29, False, id="too early by ours"),
        pytest.param(0, 31, 31, True, id="late enough"),
        pytest.param(1, 59, 59, False, id="the wait doubles"),
        pytest.param(1, 61, 61, True, id="after the doubled wait"),
        pytest.param(0, -900, 31, True, id="the node's clock is ahead"),
        pytest.param(2, 9e5, 9e5, False, id="three attempts are enough"),
    ],
)
def test_a_failed_node_is_tried_again_after_a_while(attempt, said_s, asked_s, again):
    entry = make.entry(make.NEW, attempt=attempt, asked_s=asked_s)
    said = make.seen(
        make.NEW, Phase.ROLLED_BACK, has=make.OLD, observed_attempt=attempt, at_s=said_s
    )
    world = make.fleet(done="b", failed="a")
    world = dataclasses.replace(
        world, runtimes={**world.runtimes, "a": make.runtime("a", (entry, said))}
    )

    assert looks.asked(world) == ({"a": (Wanted.ACTIVE, attempt + 1)} if again else {})


def test_a_paused_shim_mends_its_failures():
    world = make.fleet(new(paused=True), failed="a", due="b")
    world = dataclasses.replace(world, policy=Policy(backoff=0 * Policy().backoff))

    assert looks.asked(world) == {"a": (Wanted.ACTIVE, 1)}


def test_a_waiting_control_plane_makes_room_for_an_idle_one():
    world = make.fleet(new(max_update=9), masters="xy", done="a", waiting="x", due="y")

    assert looks.withdrawn(world) == ["x"]


def test_a_paused_shim_calls_nobody_back():
    world = make.fleet(new(max_update=1, paused=True), waiting="a", due="b")

    assert looks.asked(world) == {}
