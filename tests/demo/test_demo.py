"""The demo's words and files; `make demo` itself runs the rest."""

import subprocess
import sys

import pytest
import yaml

from rcm_api import shim
from tests.demo import documents, terminal, web
from tests.testbed import errors

RELEASE = web.Release("0.1.0", "http://198.18.0.5/shim.tar.gz", "a" * 64)


def test_the_shim_is_one_that_the_controller_reads():
    found = shim.parse(yaml.safe_load(documents.shim(RELEASE, arch="x86_64")))

    assert found.name == "wasmtime"
    assert found.version == "0.1.0"
    assert found.artifacts[0].sha256 == RELEASE.sha256


def test_pods_wait_for_every_node_and_the_client_asks_all_of_them():
    hello = yaml.safe_load(documents.hello())["spec"]["template"]["spec"]
    client = yaml.safe_load(documents.client(["10.0.0.1", "10.0.0.2"], image="python:3"))
    container = client["spec"]["containers"][0]

    assert hello["runtimeClassName"] == "wasmtime"
    assert hello["topologySpreadConstraints"][0]["nodeAffinityPolicy"] == "Ignore"
    assert container["args"] == ["10.0.0.1", "10.0.0.2"]
    compile(container["command"][-1], "client", "exec")


def test_a_command_and_its_words_are_shown(tmp_path, capsys):
    said = terminal.Terminal(tmp_path).run("echo", "hello world")

    assert said == "hello world\n"
    assert capsys.readouterr().out == "$ echo 'hello world'\nhello world\n"


def test_a_failed_command_ends_the_demo_with_what_it_said(tmp_path):
    with pytest.raises(errors.CommandError, match="no such thing"):
        terminal.Terminal(tmp_path).run("sh", "-c", "echo no such thing >&2; exit 3")


def test_commands_find_the_demos_environment_and_directory(tmp_path):
    term = terminal.Terminal(tmp_path)
    term.environment["KUBECONFIG"] = "/here"

    assert term.read("sh", "-c", 'echo "$KUBECONFIG $PWD"') == f"/here {tmp_path}\n"


def test_a_watch_shows_each_change_once_and_ends_with_its_block(tmp_path, capsys):
    lines = r"NAME READY AGE\na 0 1s\na 0 2s\nb 0 2s\na 1 3s\n"
    with terminal.Terminal(tmp_path).watching(("sh", "-c", f"printf '{lines}'; exec sleep 60")):
        pass
    shown = [line.split("s  ", 1)[1] for line in capsys.readouterr().out.splitlines()[1:]]

    assert shown == ["NAME READY AGE", "a 0 1s", "b 0 2s", "a 1 3s"]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("command", ["cluster", "node"])
def test_a_machine_without_docker_is_told_so(command, tmp_path):
    program = [sys.executable, "-m", "tests.demo", command]
    nowhere = {"DOCKER_HOST": "unix:///nowhere.sock", "RCM_CACHE": str(tmp_path), "PATH": "/bin"}
    done = subprocess.run(program, env=nowhere, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "demo: the Docker daemon at DOCKER_HOST=unix:///nowhere.sock does not" in done.stderr
    assert "Traceback" not in done.stderr
