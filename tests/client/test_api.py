"""Questions and answers that the contract with a real server cannot bring about."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from rcm_api.client import api, credentials, errors, http, resources, transport
from tests.client.drive import WIDGETS, Drive
from tests.fakes.apiserver import faulty

GET = transport.Request("GET", "/")


class Script:
    """A transport that says one thing, whatever it is asked."""

    def __init__(self, said: bytes) -> None:
        self.said = said
        self.asked: list[transport.Request] = []

    def send(self, request: transport.Request) -> transport.Response:
        self.asked.append(request)
        return transport.Response(200, {}, self.said)

    @contextlib.contextmanager
    def stream(self, request: transport.Request) -> Iterator[Iterator[bytes]]:
        self.asked.append(request)
        yield iter(self.said.splitlines())

    def close(self) -> None:
        pass


@pytest.mark.parametrize("said", [b"", b"<html>", b"[]", b'{"metadata":1}'])
def test_what_no_api_server_says_is_garbled(said: bytes):
    client = api.Client(Script(said), manager="test")
    with pytest.raises(errors.Garbled):
        client.list(WIDGETS, decode=api.document)


def test_a_list_without_items_is_empty():
    client = api.Client(Script(b'{"metadata":{"resourceVersion":"7"},"items":[]}'), manager="test")

    assert client.list(WIDGETS, decode=api.document) == ()
    assert client.version(WIDGETS) == "7"


@pytest.mark.parametrize(
    "line",
    [b"nonsense", b'{"type":"ADDED"}', b'{"type":"SURPRISE","object":{"metadata":{}}}'],
)
def test_an_event_that_makes_no_sense_is_garbled(line: bytes):
    client = api.Client(Script(line), manager="test")
    with pytest.raises(errors.Garbled), client.watch(WIDGETS, since="1") as changes:
        list(changes)


def test_an_error_event_is_raised():
    line = b'{"type":"ERROR","object":{"code":410,"reason":"Expired","message":"too old"}}'
    client = api.Client(Script(line), manager="test")
    with pytest.raises(errors.Gone, match="too old"), client.watch(WIDGETS, since="1") as changes:
        list(changes)


def test_an_initial_list_that_expires_twice_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(api, "PAGE", 1)
    drive = Drive()
    drive.create("a")
    drive.create("b")

    def read() -> int:
        return len(drive.client.list(WIDGETS, decode=api.document))

    expired = faulty.Refuse(410, "Expired")
    drive.faults.next(expired, when=lambda request: "continue" in request.query)
    assert read() == 2
    drive.faults.next(expired, when=lambda request: "continue" in request.query, times=2)
    with pytest.raises(errors.Gone):
        read()


@pytest.mark.parametrize(
    ("resource", "options", "path"),
    [
        (resources.NODES, {}, "/api/v1/nodes"),
        (resources.NODES, {"name": "a/b"}, "/api/v1/nodes/a%2Fb"),
        (
            resources.SHIMS,
            {"name": "spin", "subresource": "status"},
            "/apis/runtime.spinkube.dev/v1alpha1/shims/spin/status",
        ),
        (
            resources.LEASES,
            {"name": "x", "namespace": "rcm"},
            "/apis/coordination.k8s.io/v1/namespaces/rcm/leases/x",
        ),
        (resources.LEASES, {}, "/apis/coordination.k8s.io/v1/leases"),
    ],
)
def test_paths(resource: resources.Resource, options: dict[str, str], path: str):
    name = options.pop("name", "")

    assert resource.path(name, **options) == path


def test_the_writer_is_named():
    script = Script(b"{}")
    client = api.Client(script, manager="rcm-controller")
    client.create(WIDGETS, {}, decode=api.ignore)
    client.patch(WIDGETS, "a", api.Patch({}, kind=api.APPLY, force=True), decode=api.ignore)
    client.replace(WIDGETS, "a", {}, decode=api.ignore)

    assert [dict(request.query) for request in script.asked] == [
        {"fieldManager": "rcm-controller"},
        {"fieldManager": "rcm-controller", "force": "true"},
        {"fieldManager": "rcm-controller"},
    ]


class One:
    """Credentials that are one login."""

    def __init__(self, login: credentials.Login) -> None:
        self.login = login

    def current(self) -> credentials.Login:
        return self.login

    def renewed(self) -> credentials.Login:
        return self.login


def test_a_login_may_name_a_proxy_and_a_server_name():
    """Nobody listens there: what is refused is the proxy, and not the server behind it."""
    login = credentials.Login(
        "https://192.0.2.1", server_name="kubernetes", proxy="http://127.0.0.1:9"
    )
    with pytest.raises(errors.Unreachable, match="refused"):
        http.Http(One(login), agent="test").send(GET)
