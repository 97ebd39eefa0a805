"""What may differ between two effective configurations, and what may not."""

import copy

import pytest

from rcm_agent import errors
from rcm_agent.containerd import block, dialect, judge
from tests.containerd_config import make

SPIN = make.runtime("spin", SystemdCgroup=True)
PLUGIN = dialect.CRI_2


def runtimes(dump) -> dict:
    return dump["plugins"][PLUGIN]["containerd"]["runtimes"]


@pytest.fixture
def before():
    return make.dump()


@pytest.fixture
def after(before):
    found = copy.deepcopy(before)
    runtimes(found)["spin"] = {**block.table(SPIN), "snapshotter": "", "sandboxer": "podsandbox"}
    return found


def test_ours_and_nothing_else_is_proven(before, after) -> None:
    assert judge.differences(before, after, runtimes=(SPIN,)) == ()


def test_imports_may_differ(before, after) -> None:
    after["imports"] = ["/run/rcm/*.toml"]

    assert judge.differences(before, after, runtimes=(SPIN,)) == ()


def test_nothing_wanted_means_nothing_may_differ(before, after) -> None:
    assert judge.differences(before, before, runtimes=()) == ()
    assert judge.differences(before, after, runtimes=())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(
            lambda d: runtimes(d).pop("spin"), "spin does not take effect", id="ours is not there"
        ),
        pytest.param(
            lambda d: runtimes(d)["spin"].update(runtime_type="/x"), "runtime_type", id="a path"
        ),
        pytest.param(
            lambda d: runtimes(d)["spin"].update(options={"SystemdCgroup": 1}),
            "options",
            id="a number for a boolean",
        ),
        pytest.param(
            lambda d: runtimes(d)["spin"].update(options={}), "options", id="options are lost"
        ),
        pytest.param(
            lambda d: runtimes(d)["spin"].update(snapshotter="devmapper"),
            "snapshotter",
            id="a setting of ours that nobody asked for",
        ),
        pytest.param(
            lambda d: runtimes(d).pop("runc"), "runtimes.runc", id="another runtime is gone"
        ),
        pytest.param(
            lambda d: runtimes(d)["runc"]["options"].update(SystemdCgroup=True),
            "runc.options.SystemdCgroup: nothing becomes true",
            id="another runtime's option",
        ),
        pytest.param(
            lambda d: runtimes(d).update(kata={}), "runtimes.kata", id="a runtime that nobody wants"
        ),
        pytest.param(lambda d: d.update(version=3), "version: 2 becomes 3", id="the version"),
        pytest.param(
            lambda d: d["plugins"].update({"io.containerd.x": {}}), "io.containerd.x", id="a plugin"
        ),
        pytest.param(
            lambda d: d["plugins"][PLUGIN]["containerd"].update(default_runtime_name="spin"),
            "default_runtime_name",
            id="the default",
        ),
        pytest.param(lambda d: d.update(oom_score=0.0), "oom_score", id="a key at the top"),
    ],
)
def test_anything_else_is_told(before, after, change, words) -> None:
    before["oom_score"] = after["oom_score"] = 0

    change(after)

    found = judge.differences(before, after, runtimes=(SPIN,))
    assert any(words in line for line in found)


def test_a_handler_that_was_there_is_not_ours(after) -> None:
    found = judge.differences(after, after, runtimes=(SPIN,))

    assert found == ("runtime spin was there before and is not ours",)


def test_what_was_ours_may_change_and_go(before, after) -> None:
    changed = make.runtime("spin")
    later = copy.deepcopy(after)
    runtimes(later)["spin"] = block.table(changed)

    assert judge.differences(after, later, runtimes=(changed,), removed=("spin",)) == ()
    assert judge.differences(after, before, runtimes=(), removed=("spin",)) == ()


def test_what_was_ours_must_be_gone_when_it_is_removed(after) -> None:
    found = judge.differences(after, after, runtimes=(), removed=("spin",))

    assert found == ("runtime spin is still in effect",)


def test_an_empty_options_table_counts_as_none(before) -> None:
    """1.x shows one for every runtime, whether the file has it or not."""
    wasmtime = make.runtime("wasmtime")
    after = copy.deepcopy(before)
    runtimes(after)["wasmtime"] = {**block.table(wasmtime), "options": {}}

    assert judge.differences(before, after, runtimes=(wasmtime,)) == ()


def test_zero_options_of_runc_count_as_unset(before) -> None:
    after = copy.deepcopy(before)
    del runtimes(after)["runc"]["options"]["NoPivot"]
    wasm = make.dump()
    runtimes(wasm)["wasm"] = {"runtime_type": "io.containerd.x.v1", "options": {"NoPivot": 0}}
    changed = copy.deepcopy(wasm)
    del runtimes(changed)["wasm"]["options"]["NoPivot"]

    assert judge.differences(before, after, runtimes=()) == ()
    assert judge.differences(wasm, changed, runtimes=())


def test_a_long_list_of_differences_is_cut(before) -> None:
    after = {**before, **{f"key{n}": n for n in range(100)}}

    assert len(judge.differences(before, after, runtimes=())) == judge.MAX_DIFFERENCES


def test_differences_are_single_lines(before) -> None:
    after = {**before, "x": {"a\nb": "c\nd"}}

    assert all("\n" not in line for line in judge.differences(before, after, runtimes=()))


def test_what_is_no_toml_is_refused() -> None:
    with pytest.raises(errors.ConfigRefused, match="something else than TOML"):
        judge.parse(b"time=now level=warning msg=hello")
