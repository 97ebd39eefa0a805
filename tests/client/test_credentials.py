"""Where logins come from: a Pod's files, kubeconfigs, exec plugins."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rcm_api.client import credentials, errors

POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "6443"}


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def pod(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "ca.crt").write_text("ca")
    return tmp_path


def kubeconfig(path: Path, user: dict[str, Any], server: str = "https://192.0.2.1:6443") -> str:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [
            {"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("one", "two")
        ],
    }
    path.write_text(json.dumps(document))
    return str(path)


def plugin(directory: Path, output: str, *, code: int = 0) -> dict[str, Any]:
    """Return a user whose exec plugin counts its runs in its token."""
    script = directory / "plugin.py"
    script.write_text(
        "import pathlib, sys\n"
        f"count = pathlib.Path({str(directory / 'count')!r})\n"
        "runs = len(count.read_text()) + 1 if count.exists() else 1\n"
        "count.write_text('x' * runs)\n"
        f"print({output!r}.replace('COUNT', str(runs)))\n"
        f"sys.exit({code})\n"
    )
    exec_ = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": [str(script)],
        "interactiveMode": "Never",
    }
    return {"exec": exec_}


def said(**status: str) -> str:
    kind = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    return json.dumps({**kind, "status": status})


def test_a_pod_finds_its_server_and_token(pod: Path):
    login = credentials.PodFiles(pod, environ=POD, now=Clock()).current()

    assert login.url == "https://10.96.0.1:6443"
    assert login.token == "Bearer first"
    assert login.ca_file == str(pod / "ca.crt")


def test_a_server_may_have_an_ipv6_address(pod: Path):
    environ = {**POD, "KUBERNETES_SERVICE_HOST": "fd00::1"}

    assert credentials.PodFiles(pod, environ=environ, now=Clock()).current().url == (
        "https://[fd00::1]:6443"
    )


def test_a_pods_token_is_read_again_each_minute(pod: Path):
    clock = Clock()
    found = credentials.PodFiles(pod, environ=POD, now=clock)
    tokens = [found.current().token]
    (pod / "token").write_text("second")
    for seconds in (30, 61):
        clock.seconds = seconds
        tokens.append(found.current().token)

    assert tokens == ["Bearer first", "Bearer first", "Bearer second"]


def test_a_refused_token_is_read_again_at_once(pod: Path):
    found = credentials.PodFiles(pod, environ=POD, now=Clock())
    found.current()
    (pod / "token").write_text("second")

    assert found.renewed().token == "Bearer second"
    assert found.current().token == "Bearer second"


def test_a_pod_without_its_token_has_no_credentials(tmp_path: Path):
    with pytest.raises(errors.NoCredentials):
        credentials.PodFiles(tmp_path, environ=POD, now=Clock()).current()


def test_a_login_shows_no_token():
    assert "hidden" not in repr(credentials.Login("https://x", token="Bearer hidden"))


def test_a_token_of_a_kubeconfig(tmp_path: Path):
    path = kubeconfig(tmp_path / "config", {"token": "static"})
    login = credentials.Kubeconfig(path).current()

    assert (login.url, login.token) == ("https://192.0.2.1:6443", "Bearer static")


def test_an_exec_plugin_is_run_when_needed_only(tmp_path: Path):
    user = plugin(tmp_path, said(token="run-COUNT", expirationTimestamp="2999-01-01T00:00:00Z"))
    found = credentials.Kubeconfig(kubeconfig(tmp_path / "config", user))
    tokens = [found.current().token, found.current().token, found.renewed().token]

    assert tokens == ["Bearer run-1", "Bearer run-1", "Bearer run-2"]


def test_an_exec_plugin_is_run_again_when_its_token_expires(tmp_path: Path):
    user = plugin(tmp_path, said(token="run-COUNT", expirationTimestamp="2020-01-01T00:00:00Z"))
    found = credentials.Kubeconfig(kubeconfig(tmp_path / "config", user))
    first = found.current().token
    second = found.current().token

    assert first != second


def test_an_exec_plugin_that_fails_gives_no_login(tmp_path: Path):
    path = kubeconfig(tmp_path / "config", plugin(tmp_path, "oops", code=3))
    with pytest.raises(errors.NoCredentials, match="exec plugin"):
        credentials.Kubeconfig(path).current()


@pytest.mark.parametrize("text", ["", "[]", "{", "a: b", "current-context: none"])
def test_a_kubeconfig_that_makes_no_sense(tmp_path: Path, text: str):
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(errors.NoCredentials):
        credentials.Kubeconfig(str(path)).current()


def test_a_context_that_is_not_there(tmp_path: Path):
    path = kubeconfig(tmp_path / "config", {"token": "x"})
    with pytest.raises(errors.NoCredentials):
        credentials.Kubeconfig(path, context="three").current()
    assert credentials.Kubeconfig(path, context="two").current().token == "Bearer x"


def test_a_proxy_of_kubectl_needs_no_login(tmp_path: Path):
    path = kubeconfig(tmp_path / "config", {}, server="http://127.0.0.1:8001")

    assert credentials.Kubeconfig(path).current().token == ""


def test_the_choice_is_explicit_then_pod_then_usual(
    tmp_path: Path, pod: Path, monkeypatch: pytest.MonkeyPatch
):
    path = kubeconfig(tmp_path / "config", {"token": "x"})
    usual = {"KUBECONFIG": path}
    found = [credentials.find(path, environ=POD, now=Clock())]
    found.append(credentials.find(environ=usual, now=Clock()))
    monkeypatch.setattr(credentials, "POD_FILES", pod)
    found.append(credentials.find(environ={**usual, **POD}, now=Clock()))

    kinds = [type(each) for each in found]
    assert kinds == [credentials.Kubeconfig, credentials.Kubeconfig, credentials.PodFiles]


def test_without_any_there_is_an_error(tmp_path: Path):
    with pytest.raises(errors.NoCredentials):
        credentials.find(environ={"KUBECONFIG": str(tmp_path / "none")}, now=Clock())


def test_nobody_pays_for_the_kubernetes_package_who_needs_none():
    code = "import sys; import rcm_api.client.http; print('kubernetes' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
