"""Which edits are proposed, what each state holds, and what is refused."""

import pytest

from rcm_agent import errors
from rcm_agent.containerd import dialect, imports, toml
from tests.containerd_config import make, memory
from tests.containerd_config.make import CONF_D, DROP_IN, NEW, OLD, RUN, Host

ROOT = memory.ROOT
SPIN = make.runtime("spin", SystemdCgroup=True)
WASMTIME = make.runtime("wasmtime")
CONF_D_ROOT = b'imports = ["/etc/containerd/conf.d/*.toml"]\nversion = 3\n'


def handlers(data: bytes | None) -> set[str]:
    return set(dialect.all_runtimes(toml.parse(data)))


# --- 2.x ----------------------------------------------------------------------------------------


def test_a_drop_in_needs_one_marked_import_in_the_root() -> None:
    host = Host()

    edit = host.propose(SPIN)[0]

    assert edit.strategy == "drop-in"
    assert {ROOT} == set(edit.attached)
    assert {ROOT, RUN} == set(edit.trial)
    assert {ROOT, DROP_IN} == set(edit.final)
    assert edit.attached[ROOT] == edit.trial[ROOT] == edit.final[ROOT]
    assert {"spin"} == handlers(edit.trial[RUN]) == handlers(edit.final[DROP_IN])
    assert edit.evidence


def test_the_trial_is_loaded_last() -> None:
    edit = Host().propose(SPIN)[0]

    assert imports.listed(ROOT, edit.final[ROOT])[-1] == "/run/rcm/*.toml"


@pytest.mark.parametrize(
    "pattern", ["/etc/containerd/conf.d/*.toml", "conf.d/*.toml", "/etc/*/conf.d/*"]
)
def test_conf_d_is_used_where_the_root_imports_it(pattern) -> None:
    host = Host(f"imports = ['{pattern}']\nversion = 3\n".encode())

    edit = host.propose(SPIN)[0]

    assert edit.strategy == "conf.d"
    assert ROOT not in {*edit.attached, *edit.trial, *edit.final}
    assert toml.parse(edit.attached[CONF_D]) == {"imports": ["/run/rcm/*.toml"]}
    assert set() == handlers(edit.trial[CONF_D])
    assert {"spin"} == handlers(edit.trial[RUN]) == handlers(edit.final[CONF_D])


@pytest.mark.parametrize(
    "root",
    [
        pytest.param(b"imports = ['/etc/containerd/conf.d/99-*.toml']\n", id="other names"),
        pytest.param(b"imports = ['/etc/containerd/conf.d/rcm.toml']\n", id="a name, no pattern"),
        pytest.param(b"[debug]\nimports = ['/etc/containerd/conf.d/*.toml']\n", id="in a table"),
        pytest.param(b"imports = ['x.toml']\n", id="only an import does"),
    ],
)
def test_conf_d_is_not_used_where_the_root_does_not_import_it(root) -> None:
    nested = b"imports = ['/etc/containerd/conf.d/*.toml']\n"
    beside = {"/etc/containerd/x.toml": nested} if b"x.toml" in root else {CONF_D: b""}
    host = Host(root, **beside)

    assert "conf.d" not in {edit.strategy for edit in host.propose(SPIN)}


def test_no_root_gets_a_minimal_one() -> None:
    edit = Host(None).propose(SPIN)[0]

    assert {k: v for k, v in toml.parse(edit.attached[ROOT]).items() if k != "imports"} == {
        "version": 3
    }


@pytest.mark.parametrize(
    ("root", "plugin"),
    [
        pytest.param("version = 2", dialect.CRI_1, id="version 2"),
        pytest.param("version=2 # 3", dialect.CRI_1, id="version 2, odd spelling"),
        pytest.param("version = 3", dialect.CRI_2, id="version 3"),
        pytest.param("version = 4", dialect.CRI_2, id="version 4"),
        pytest.param("", dialect.CRI_2, id="none"),
        pytest.param("# version = 2\n", dialect.CRI_2, id="a version in a comment"),
        pytest.param(
            'version = 2\n[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]',
            dialect.CRI_2,
            id="version 2 with new ids, as AKS",
        ),
        pytest.param(
            'version = 2\n[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]\n'
            '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata]',
            dialect.CRI_2,
            id="both ids: the newer wins in containerd",
        ),
        pytest.param(
            'version = 3\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]',
            dialect.CRI_1,
            id="version 3 with old ids: tried first, the judge decides",
        ),
        pytest.param(
            'version = 2\n[plugins."io.containerd.cri.v1.runtime".cni]',
            dialect.CRI_1,
            id="new ids without runtimes",
        ),
    ],
)
def test_the_plugin_id_is_the_one_that_runtimes_are_defined_under(root, plugin) -> None:
    edits = Host(root.encode()).propose(SPIN)

    first = [next(iter(toml.parse(edit.trial[RUN])["plugins"])) for edit in edits]
    assert plugin == first[0]
    assert {dialect.CRI_1, dialect.CRI_2} == set(first)


def test_an_imported_file_may_define_the_runtimes() -> None:
    root = b"version = 2\nimports = ['x.toml']\n"
    other = b'[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]\n'

    edit = Host(root, **{"/etc/containerd/x.toml": other}).propose(SPIN)[0]

    assert dialect.CRI_2 in toml.parse(edit.final[DROP_IN])["plugins"]


def test_a_drop_in_never_says_a_version() -> None:
    for root in (b"version = 2", b"version = 3", b"version = 4"):
        for edit in Host(root).propose(SPIN):
            assert "version" not in toml.parse(edit.trial[RUN])
            assert "version" not in toml.parse(edit.final[DROP_IN])


def test_options_that_change_are_tried_on_disk() -> None:
    """Merging cannot take an option away, so a file in /run could not show the new state."""
    host = Host()
    host.apply(SPIN)

    edit = host.propose(make.runtime("spin"), dump_=make.dump("spin"))[0]

    assert edit.attached == {}
    assert edit.trial == edit.final
    assert {DROP_IN} == set(edit.final)


def test_a_root_written_anew_is_attached_without_the_old_drop_in() -> None:
    """nodeadm renders config.toml at every boot; our drop-in is left with nobody importing it."""
    host = Host()
    host.apply(SPIN)
    host.files[ROOT] = b"version = 2\n"

    edit = host.propose(SPIN)[0]

    assert edit.attached[DROP_IN] is None
    assert {"spin"} == handlers(edit.trial[RUN])
    assert edit.trial[DROP_IN] is None
    assert DROP_IN not in edit.final


# --- 1.x ----------------------------------------------------------------------------------------


def test_on_1_x_the_runtimes_go_into_the_file_that_defines_cri() -> None:
    edit = Host(release=OLD).propose(SPIN)[0]

    assert edit.strategy == "in-place"
    assert {ROOT} == set(edit.attached) == set(edit.final)
    assert {"runc", "spin"} == handlers(edit.final[ROOT])
    assert {"runc"} == handlers(edit.attached[ROOT])


def test_on_1_x_the_last_import_that_defines_cri_counts() -> None:
    path = "/etc/containerd/x.toml"
    host = Host(b"version = 2\nimports = ['x.toml']\n", release=OLD, **{path: make.ROOT_2})

    edit = host.propose(SPIN)[0]

    assert {"runc", "spin"} == handlers(edit.final[path])
    assert set() == handlers(edit.final[ROOT])


def test_on_1_x_the_trial_holds_the_whole_table() -> None:
    root = make.ROOT_2 + b'[plugins."io.containerd.grpc.v1.cri"]\nsandbox_image = "x"\n'
    edit = Host(root, release=OLD).propose(SPIN)[0]

    trial = toml.parse(edit.trial[RUN])

    assert toml.parse(edit.final[ROOT])["plugins"] == trial["plugins"]
    assert trial["version"] == 2
    assert edit.attached[ROOT] == edit.trial[ROOT]


def test_on_1_x_an_implicit_runc_is_written_out_as_it_is() -> None:
    edit = Host(b"version = 2\n", release=OLD).propose(SPIN)[0]

    assert (dialect.all_runtimes(toml.parse(edit.final[ROOT]))["runc"]) == {
        "runtime_type": "io.containerd.runc.v2",
        "options": {"Root": "/x"},
    }


def test_on_1_x_a_file_without_version_uses_the_old_name() -> None:
    edit = Host(b"[plugins.cri]\n", release=OLD).propose(SPIN)[0]

    assert list(toml.parse(edit.final[ROOT])["plugins"]) == ["cri"]
    assert "version" not in toml.parse(edit.trial[RUN])


def test_on_1_x_removal_is_tried_in_run_too() -> None:
    host = Host(release=OLD)
    host.apply(SPIN)

    edit = host.propose(dump_=make.dump("spin", release=OLD))[0]

    assert {RUN} == set(edit.trial)
    assert {"runc"} == handlers(edit.trial[RUN])
    assert edit.final == {ROOT: make.ROOT_2}


# --- both ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", [OLD, NEW])
@pytest.mark.parametrize("root", [None, b"", make.ROOT_2, CONF_D_ROOT])
def test_a_second_run_writes_nothing(release, root) -> None:
    host = Host(root, release=release)
    host.apply(SPIN)

    edit = host.propose(SPIN, dump_=make.dump("spin", release=release))[0]

    assert edit.strategy == "unchanged"
    assert {} == edit.attached == edit.trial == edit.final


@pytest.mark.parametrize("release", [OLD, NEW])
@pytest.mark.parametrize("root", [None, b"", make.ROOT_2, CONF_D_ROOT])
def test_removal_gives_the_same_bytes(release, root) -> None:
    host = Host(root, release=release)
    before = dict(host.files)
    host.apply(SPIN)
    host.apply(SPIN, WASMTIME)
    host.apply(WASMTIME)

    host.apply()

    assert before == host.files


@pytest.mark.parametrize("release", [OLD, NEW])
def test_removal_where_nothing_is_ours_writes_nothing(release) -> None:
    edit = Host(release=release).propose()[0]

    assert {} == edit.attached == edit.trial == edit.final


@pytest.mark.parametrize("release", [OLD, NEW])
def test_a_second_shim_keeps_what_others_changed(release) -> None:
    host = Host(release=release)
    host.apply(SPIN)
    host.files[ROOT] += b"\n[debug]\n  level = 'debug' # mine\n"

    host.apply(SPIN, WASMTIME)

    assert b"level = 'debug' # mine" in host.root
    assert {"spin", "wasmtime"} <= set(host.handlers())


@pytest.mark.parametrize("release", [OLD, NEW])
def test_our_part_may_stand_elsewhere(release) -> None:
    """Somebody added a table behind it: that is no reason to write the file again."""
    host = Host(release=release)
    host.apply(SPIN)
    host.files[ROOT] += b"[debug]\n"

    assert host.propose(SPIN, dump_=make.dump("spin", release=release))[0].final == {}


def test_a_trial_left_over_goes_away() -> None:
    host = Host()
    host.apply(SPIN, state="trial")

    edit = host.propose(SPIN, dump_=make.dump("spin"))[0]

    assert edit.final[RUN] is None
    assert {"spin"} == handlers(edit.final[DROP_IN])


def test_a_node_that_lost_power_in_the_trial_starts_over() -> None:
    host = Host()
    host.apply(SPIN, state="trial")
    del host.files[RUN]

    edit = host.propose(SPIN)[0]

    assert edit.attached == {}
    assert {RUN} == set(edit.trial)
    assert {DROP_IN} == set(edit.final)


def test_from_1_7_to_2_x_the_block_may_stay() -> None:
    host = Host(release=OLD)
    host.apply(SPIN)
    host.release = NEW

    edit, *others = host.propose(SPIN, dump_=make.dump("spin"))

    assert edit.strategy == "unchanged"
    assert {"drop-in"} == {other.strategy for other in others}
    assert {"runc"} == handlers(others[0].final[ROOT])


# --- refusals -----------------------------------------------------------------------------------


def refusal(host: Host, *runtimes, **dump) -> errors.ConfigRefused:
    with pytest.raises(errors.ConfigRefused) as refused:
        host.propose(*runtimes, dump_=make.dump(**dump, release=host.release))
    assert refused.value.advice
    return refused.value


@pytest.mark.parametrize("release", [OLD, NEW])
@pytest.mark.parametrize(
    "plugin",
    [
        "cri",
        "io.containerd.grpc.v1.cri",
        "io.containerd.cri.v1.runtime",
        "io.containerd.cri.v1.images",
    ],
)
def test_a_host_without_cri_is_refused(plugin, release) -> None:
    host = Host(f"disabled_plugins = ['{plugin}']\n".encode(), release=release)

    assert "disables containerd's CRI" in refusal(host, SPIN).cause


def test_cri_may_be_off_in_an_import() -> None:
    host = Host(b"imports=['x.toml']", **{"/etc/containerd/x.toml": b"disabled_plugins=['cri']"})

    assert "disables containerd's CRI" in refusal(host, SPIN).cause


def test_other_plugins_may_be_off() -> None:
    host = Host(b"version = 2\ndisabled_plugins = ['io.containerd.snapshotter.v1.btrfs']\n")

    assert host.propose(SPIN)


@pytest.mark.parametrize("release", [OLD, NEW])
def test_a_handler_that_somebody_else_has_is_refused(release) -> None:
    root = make.ROOT_2.replace(b"runtimes.runc", b"runtimes.spin") + make.ROOT_2.split(b"\n", 1)[1]
    host = Host(root, release=release)
    with pytest.raises(errors.ConfigRefused) as refused:
        host.propose(SPIN, dump_=make.dump("spin", release=release))

    assert "has a runtime 'spin' already" in refused.value.cause
    assert ROOT in refused.value.cause
    assert host.propose(WASMTIME, dump_=make.dump("spin", release=release))


def test_a_built_in_handler_is_refused() -> None:
    assert "'runc' already" in refusal(Host(b""), make.runtime("runc"), default="x").cause


def test_the_default_runtime_is_refused() -> None:
    assert "default_runtime_name" in refusal(Host(), SPIN, default="spin").cause


@pytest.mark.parametrize("release", [OLD, NEW])
def test_taking_ours_out_is_never_refused(release) -> None:
    host = Host(release=release)
    host.apply(SPIN)
    host.files[ROOT] = b"disabled_plugins = ['cri']\n" + host.root

    edit = host.propose(dump_={})[0]

    assert handlers(edit.final[ROOT]) == {"runc"}


# --- found by breaking the code on purpose -------------------------------------------------------


def test_on_1_x_the_version_is_that_of_the_last_file_that_says_one() -> None:
    beside = {"/etc/containerd/x.toml": b"version = 2\n"}
    edit = Host(b"imports = ['x.toml']\n", release=OLD, **beside).propose(SPIN)[0]

    assert list(toml.parse(edit.final[ROOT])["plugins"]) == [dialect.CRI_1]


def test_on_1_x_two_files_define_cri_and_the_later_counts() -> None:
    path = "/etc/containerd/x.toml"
    root = b"imports = ['x.toml']\n" + make.ROOT_2

    edit = Host(root, release=OLD, **{path: make.ROOT_2}).propose(SPIN)[0]

    assert handlers(edit.final[path]) == {"runc", "spin"}
    assert handlers(edit.final[ROOT]) == {"runc"}


def test_runtimes_of_ours_without_their_marks_come_out_by_the_journal() -> None:
    host = Host(release=OLD)
    host.apply(SPIN)
    lines = host.root.decode().splitlines(keepends=True)
    host.files[ROOT] = "".join(line for line in lines if not line.startswith("#")).encode()

    host.apply()

    assert handlers(host.root) == {"runc"}
    assert b"rcm" not in host.root


def test_a_runtime_like_ours_that_was_there_before_stays() -> None:
    """Without its marks and without the journal, nothing says that a runtime is ours."""
    host = Host(release=OLD)
    host.apply(SPIN)
    lines = host.root.decode().splitlines(keepends=True)
    host.files[ROOT] = "".join(line for line in lines if not line.startswith("#")).encode()

    edit = host.propose(owned=())[0]

    assert handlers(edit.final[ROOT]) == {"runc", "spin"}


def test_a_root_whose_import_of_ours_still_works_is_not_written_again() -> None:
    """A key below our import would make us put it elsewhere today; that changes nothing."""
    host = Host(b"version = 2\n")
    host.apply(SPIN)
    host.files[ROOT] += b"oom_score = 1\n"

    edit = host.propose(SPIN, WASMTIME, dump_=make.dump("spin"))[0]

    assert set(edit.final) == {DROP_IN}


@pytest.mark.parametrize("release", [OLD, NEW])
def test_a_root_that_lost_the_import_of_run_gets_it_back(release) -> None:
    host = Host(release=release)
    host.apply(SPIN)
    host.files[ROOT] = host.root.replace(b'"/run/rcm/*.toml"', b"")

    edit = host.propose(SPIN, dump_=make.dump("spin", release=release))[0]

    assert "/run/rcm/*.toml" in imports.listed(ROOT, edit.final[ROOT])
