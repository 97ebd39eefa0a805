"""The plan: which steps, which recovery, which restart."""

import dataclasses

import pytest

from rcm_agent import plan, records
from rcm_agent.containerd import model
from rcm_agent.records import Step
from tests.agent import make

ROOT = "/etc/containerd/config.toml"
TRIAL = "/run/rcm/trial.toml"
OLD, NEW = make.shim(version="1"), make.shim(version="2")
OTHER = make.shim("spin")
EDIT = model.Edit(
    strategy="drop-in",
    evidence=(),
    attached={ROOT: b"attached"},
    trial={ROOT: b"attached", TRIAL: b"trial"},
    final={ROOT: b"attached", "/etc/containerd/rcm.d/rcm.toml": b"final"},
)
NOTHING = model.Edit(strategy="drop-in", evidence=(), attached={}, trial={}, final={})


def steps(before, after, observed, edit, prove=()):
    made = plan.operation(
        before=before,
        after=after,
        observed=observed,
        files=plan.file_changes(edit, {ROOT: b"old"}),
        changes=plan.links(before, after, observed.links),
        prove=prove,
    )
    return None if made is None else made.steps


def test_a_first_install_takes_every_step_and_one_restart():
    found = steps(
        make.generation(), make.generation(OLD), make.observed(), EDIT, prove=("wasmtime",)
    )

    assert found == tuple(Step)


def upgrade(*, links=None, prove=("wasmtime",)):
    found = make.linked(OLD) if links is None else links
    return steps(
        make.generation(OLD),
        make.generation(NEW),
        make.observed("wasmtime", links=found),
        NOTHING,
        prove=prove,
    )


def test_an_upgrade_restarts_nothing_and_is_proven_with_the_switch_armed():
    expected = (Step.PREPARE, Step.ARM, Step.LINK, Step.PROVE, Step.DISARM, Step.CLEAN)

    assert upgrade() == expected


def test_without_a_proof_a_swapped_link_counts_at_once():
    assert upgrade(prove=()) == (Step.PREPARE, Step.LINK, Step.CLEAN)


def test_a_link_that_was_lost_has_no_state_to_go_back_to():
    assert upgrade(links={}) == (Step.PREPARE, Step.LINK, Step.PROVE, Step.CLEAN)


def test_nothing_unproven_is_in_use_before_the_switch_is_armed():
    order = [Step.ATTACH, Step.ARM, Step.LINK, Step.TRY, Step.PROVE, Step.DISARM]

    assert [step for step in records.ORDER if step in order] == order


def test_nothing_to_do_is_no_operation():
    found = steps(
        make.generation(OLD),
        make.generation(OLD),
        make.observed("wasmtime", links=make.linked(OLD)),
        NOTHING,
    )

    assert found is None


def test_a_removal_restarts_and_unlinks_last():
    edit = model.Edit(
        strategy="drop-in", evidence=(), attached={}, trial={ROOT: b"old"}, final={ROOT: b"old"}
    )

    found = steps(
        make.generation(OLD),
        make.generation(),
        make.observed("wasmtime", links=make.linked(OLD)),
        edit,
    )

    assert Step.RESTART in found
    assert Step.LINK not in found
    assert found.index(Step.CLEAN) > found.index(Step.VERIFY)


def test_lost_files_are_put_back_without_a_restart_while_the_handler_is_loaded():
    found = steps(
        make.generation(OLD),
        make.generation(OLD),
        make.observed("wasmtime", links=make.linked(OLD)),
        EDIT,
    )

    assert found == (Step.PREPARE, Step.COMMIT, Step.CLEAN)


def test_a_handler_that_containerd_has_not_loaded_needs_a_restart():
    found = steps(
        make.generation(OLD), make.generation(OLD), make.observed(links=make.linked(OLD)), NOTHING
    )

    assert Step.RESTART in found


def test_changed_options_need_a_restart():
    changed = make.shim(version="1", options={"SystemdCgroup": True})

    found = steps(
        make.generation(OLD),
        make.generation(changed),
        make.observed("wasmtime", links=make.linked(OLD)),
        EDIT,
    )

    assert Step.RESTART in found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, True, id="all as proven"),
        pytest.param({"wanted": {"wasmtime": "other"}}, False, id="another digest wanted"),
        pytest.param({"wanted": {}}, False, id="another set wanted"),
        pytest.param(
            {"observed": make.observed(links=make.linked(OLD))}, False, id="handler not loaded"
        ),
        pytest.param(
            {"observed": make.observed("wasmtime", links={})}, False, id="stable path gone"
        ),
        pytest.param({"observed": make.observed(cri=False)}, False, id="CRI does not answer"),
        pytest.param({"tree": model.Tree(ROOT, b"edited", ())}, False, id="somebody edited"),
        pytest.param({"containerd": "v1.7.24"}, False, id="containerd was upgraded"),
    ],
)
def test_settled_only_when_everything_is_as_it_was_proven(change, expected):
    tree = model.Tree(ROOT, b"x", ())
    current = make.generation(
        OLD,
        tree=plan.fingerprint(tree),
        containerd=change.get("containerd", "v2.3.4"),
    )

    found = plan.settled(
        current=current,
        tree=change.get("tree", tree),
        observed=change.get("observed", make.observed("wasmtime", links=make.linked(OLD))),
        wanted=change.get("wanted", {"wasmtime": OLD.wanted}),
    )

    assert found is expected


EARLY = [s for s in Step if records.ORDER.index(s) < records.ORDER.index(Step.DISARM)]
LATE = [Step.DISARM, Step.COMMIT]


@pytest.mark.parametrize("step", EARLY)
def test_an_unproven_install_is_undone(step):
    operation = make.operation(after=(NEW,), step=step)

    assert plan.recovery(operation, make.observed("wasmtime"), committed=False) == "undo"


@pytest.mark.parametrize("step", LATE)
def test_a_proven_install_is_finished(step):
    operation = make.operation(after=(NEW,), step=step)
    observed = make.observed("wasmtime", links=make.linked(NEW))

    assert plan.recovery(operation, observed, committed=False) == "finish"


@pytest.mark.parametrize("step", LATE)
@pytest.mark.parametrize("links", [make.linked(OLD), {}], ids=["swapped back", "gone"])
def test_an_upgrade_whose_links_are_not_the_new_ones_is_undone(step, links):
    operation = make.operation(before=(OLD,), after=(NEW,), step=step)

    found = make.observed("wasmtime", links=links)
    assert plan.recovery(operation, found, committed=True) == "undo"


def test_at_the_clean_up_there_is_no_way_back():
    operation = make.operation(before=(OLD,), after=(NEW,), step=Step.CLEAN)

    assert plan.recovery(operation, make.observed(), committed=True) == "finish"


@pytest.mark.parametrize("step", LATE)
def test_a_proven_install_that_containerd_lost_is_undone(step):
    operation = make.operation(after=(NEW,), step=step)
    observed = make.observed(links=make.linked(NEW))

    assert plan.recovery(operation, observed, committed=False) == "undo"


@pytest.mark.parametrize("step", LATE)
def test_a_removal_that_containerd_carried_out_is_finished(step):
    operation = make.operation(before=(OLD,), step=step, handlers=("runc", "wasmtime"))

    assert plan.recovery(operation, make.observed(), committed=False) == "finish"
    assert plan.recovery(operation, make.observed("wasmtime"), committed=False) == "undo"


def test_a_dead_cri_is_judged_by_the_files():
    operation = make.operation(after=(NEW,), step=Step.COMMIT)
    observed = make.observed(cri=False, links=make.linked(NEW))

    assert plan.recovery(operation, observed, committed=True) == "finish"
    assert plan.recovery(operation, observed, committed=False) == "undo"


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        pytest.param(make.observed(), False, id="never restarted, or the switch put it back"),
        pytest.param(make.observed("wasmtime"), True, id="runs the trial"),
        pytest.param(make.observed(cri=False), True, id="CRI is dead"),
        pytest.param(make.observed(active="failed"), True, id="the unit failed"),
    ],
)
def test_undo_restarts_only_what_runs_otherwise(observed, expected):
    operation = make.operation(after=(NEW,), step=Step.RESTART)

    assert plan.undo_needs_restart(operation, make.generation(), observed) is expected


@pytest.mark.parametrize(
    "observed",
    [make.observed(cri=False), make.observed(active="failed"), make.observed()],
    ids=["CRI is dead", "the unit failed", "handlers are gone"],
)
def test_undoing_an_upgrade_never_restarts(observed):
    steps = (Step.PREPARE, Step.ARM, Step.LINK, Step.PROVE, Step.DISARM, Step.CLEAN)
    operation = dataclasses.replace(
        make.operation(before=(OLD,), after=(NEW,), step=Step.PROVE, handlers=("wasmtime",)),
        steps=steps,
    )

    assert not plan.undo_needs_restart(operation, make.generation(OLD), observed)


def test_files_in_run_come_first_so_that_they_go_first():
    changes = plan.file_changes(EDIT, {ROOT: b"old"})

    assert changes[0].path == TRIAL
    assert (changes[0].before, changes[0].final) == ("", "")
