"""How lists come from any API server: in pages of one moment, whole or with selectors."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import msgspec
import pytest

from rcm_api.client import api, errors, resources, transport
from tests.contract.api_servers import WIDGETS, ApiServer, widget

NAMES = ["a", "b", "c", "d", "e"]


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "PAGE", 2)


@pytest.fixture
def client(api_server: ApiServer) -> api.Client:
    """A client of a server with five objects."""
    found = api_server.client()
    for name in NAMES:
        parity = "odd" if NAMES.index(name) % 2 else "even"
        body = widget(name, labels={"parity": parity, name: "yes"})
        found.create(WIDGETS, body, decode=api.ignore)
    return found


def names(client: api.Client, **selection: str) -> list[str]:
    return [
        item["metadata"]["name"]
        for item in client.list(WIDGETS, decode=api.document, selection=api.Selection(**selection))
    ]


def read(page: api.Page) -> list[str]:
    return [api.document(item)["metadata"]["name"] for item in page.items]


def test_a_list_is_whole_and_sorted_by_name(client: api.Client):
    assert names(client) == NAMES


def test_an_empty_list_has_a_version(api_server: ApiServer):
    pages = list(api_server.client().pages(WIDGETS))

    assert [read(page) for page in pages] == [[]]
    assert int(pages[0].resource_version) > 0


def test_all_pages_tell_of_one_moment(client: api.Client):
    pages = client.pages(WIDGETS)
    first = next(pages)
    client.create(WIDGETS, widget("bb"), decode=api.ignore)
    client.delete(WIDGETS, "d")
    others = list(pages)

    assert [read(page) for page in (first, *others)] == [["a", "b"], ["c", "d"], ["e"]]
    assert {page.resource_version for page in others} == {first.resource_version}


def test_a_list_that_takes_too_long_has_to_begin_anew(api_server: ApiServer, client: api.Client):
    api_server.compact()
    asked = ask(api_server, {"limit": "2"})
    token = msgspec.json.decode(asked.body)["metadata"]["continue"]
    answer = ask(api_server, {"limit": "2", "continue": _aged(token)})

    assert answer.status == 410
    assert msgspec.json.decode(answer.body)["reason"] == "Expired"
    assert names(client) == NAMES


def ask(server: ApiServer, query: dict[str, str]) -> transport.Response:
    return server.moves.send(transport.Request("GET", WIDGETS.path(), query=query))


def _aged(token: str) -> str:
    """Return the token that a list of long ago had: time is dear with a real server."""
    padded = token + "=" * (-len(token) % 4)
    found = msgspec.json.decode(base64.urlsafe_b64decode(padded))
    aged = msgspec.json.encode({**found, "rv": 2})
    return base64.urlsafe_b64encode(aged).decode().rstrip("=")


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("parity=even", ["a", "c", "e"]),
        ("parity!=even", ["b", "d"]),
        ("a", ["a"]),
        ("!a", ["b", "c", "d", "e"]),
        ("parity=odd,b=yes", ["b"]),
        ("parity=none", []),
    ],
)
def test_labels_select(client: api.Client, selector: str, expected: list[str]):
    assert names(client, labels=selector) == expected


def test_fields_select(client: api.Client):
    assert names(client, fields="metadata.name=c") == ["c"]
    assert names(client, fields="metadata.name!=c") == ["a", "b", "d", "e"]


def test_only_some_fields_select(client: api.Client):
    with pytest.raises(errors.Invalid):
        names(client, fields="spec.size=1")


def _leases(client: api.Client) -> Iterator[str]:
    selection = api.Selection(namespace="default")
    for item in client.list(resources.LEASES, decode=api.document, selection=selection):
        yield item["metadata"]["name"]


def test_a_namespace_selects(api_server: ApiServer):
    client = api_server.client()
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "x"}}
    client.create(resources.LEASES, body, decode=api.ignore, namespace="default")
    client.create(resources.LEASES, body, decode=api.ignore, namespace="kube-public")

    assert list(_leases(client)) == ["x"]
    client.delete(resources.LEASES, "x", namespace="kube-public")
