"""Flags and variables: what they mean, and what is said about bad ones."""

import subprocess
import sys
from datetime import timedelta

import pytest

from rcm_controller import cli, settings, world


def chosen(*argv: str) -> settings.Settings:
    return cli._settings(cli._parser().parse_args(argv))


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch):
    for name in ("KUBECONFIG", "WRITE_BUDGET", "LEADER_ELECT", "REQUIRE_DIGEST", "LOG_FORMAT"):
        monkeypatch.delenv(f"RCM_{name}", raising=False)


def test_defaults_are_those_of_the_settings():
    assert chosen() == settings.Settings(lease_namespace="kube-system")


def test_flags_set_everything():
    found = chosen(
        *("--kubeconfig", "k", "--write-budget", "100", "--metrics-address", "127.0.0.1:0"),
        *("--no-leader-elect", "--lease-namespace", "rcm", "--lease-name", "l"),
        *("--identity", "me", "--log-format", "console", "--log-level", "debug"),
        *("--require-digest", "--attempts", "5", "--backoff", "1.5s"),
        *("--answer-deadline", "2m", "--dead-node-deadline", "1h"),
    )

    assert found == settings.Settings(
        kubeconfig="k",
        write_budget_per_s=100.0,
        metrics_host="127.0.0.1",
        metrics_port=0,
        leader_elect=False,
        lease_namespace="rcm",
        lease_name="l",
        identity="me",
        log_json=False,
        debug=True,
        policy=world.Policy(
            require_digest=True,
            attempts=5,
            backoff=timedelta(seconds=1.5),
            answer_deadline=timedelta(minutes=2),
            dead_node_deadline=timedelta(hours=1),
        ),
    )


def test_variables_are_read_and_flags_go_before_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RCM_WRITE_BUDGET", "7")
    monkeypatch.setenv("RCM_LEADER_ELECT", "false")

    assert chosen().write_budget_per_s == 7.0
    assert not chosen().leader_elect
    assert chosen("--write-budget", "8", "--leader-elect").leader_elect
    assert chosen("--write-budget", "8").write_budget_per_s == 8.0


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--write-budget", "0"), "write a number from 0.1 to 10000"),
        (("--write-budget", "nan"), "write a number from 0.1 to 10000"),
        (("--write-budget", "many"), "write a number from 0.1 to 10000"),
        (("--attempts", "0"), "write a whole number from 1 to 100"),
        (("--attempts", "9" * 5000), "write a whole number from 1 to 100"),
        (("--backoff", "soon"), "write for example 90s, 10m or 1h"),
        (("--backoff", "0s"), "write for example 90s, 10m or 1h"),
        (("--answer-deadline", "-5m"), "expected one argument"),
        (("--metrics-address", "8080"), "write HOST:PORT"),
        (("--metrics-address", "host:99999"), "write HOST:PORT"),
        (("--lease-name", "No_Name"), "is no name of a Kubernetes object"),
        (("--log-format", "xml"), "write one of: json, console"),
        (("--budget", "5"), "unrecognized arguments"),
    ],
)
def test_a_bad_flag_says_what_to_write_and_ends_with_2(argv, says, capsys):
    with pytest.raises(SystemExit) as ended:
        chosen(*argv)

    assert ended.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("RCM_WRITE_BUDGET", "lots", "write a number from"),
        ("RCM_LEADER_ELECT", "maybe", "RCM_LEADER_ELECT: 'maybe': write true or false"),
        ("RCM_LOG_FORMAT", "xml", "write one of: json, console"),
    ],
)
def test_a_bad_variable_says_so_too(name, value, says, capsys, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        chosen()

    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_two_processes_never_have_one_identity():
    first, second = (cli._identity(settings.Settings(identity="same")) for _ in range(2))

    assert first != second
    assert first.startswith("same_")


# Loading the kubernetes package takes seconds on a busy machine.
@pytest.mark.timeout(60)
def test_without_credentials_the_process_says_so_and_ends_with_1(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "rcm_controller", "--kubeconfig", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert '"message": "cannot run"' in done.stderr or '"message":"cannot run"' in done.stderr
    assert "Traceback" not in done.stderr
