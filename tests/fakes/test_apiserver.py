"""The model's own promises: strictness, speed, and what only it can do."""

from __future__ import annotations

import time

import pytest

from rcm_api.client import api, errors, resources, transport
from tests.fakes.apiserver import faulty, model
from tests.fakes.apiserver.answers import Unsupported

NODES = resources.NODES
PER_S = 5_000
"""Operations a second that the simulation needs."""


def node(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"a": "b"}}}


@pytest.fixture
def server() -> model.Server:
    return model.Server()


@pytest.fixture
def client(server: model.Server) -> api.Client:
    return api.Client(server, manager="test")


@pytest.mark.parametrize(
    "request_",
    [
        transport.Request("GET", "/api/v1/pods"),
        transport.Request("GET", "/version"),
        transport.Request("GET", "/api/v1/nodes", query={"resourceVersion": "0"}),
        transport.Request("GET", "/api/v1/nodes/a/proxy"),
        transport.Request("DELETE", "/api/v1/nodes"),
        transport.Request("POST", "/api/v1/nodes", query={"dryRun": "All"}, body=b"{}"),
        transport.Request("PATCH", "/api/v1/nodes/a", body=b"{}", content_type="application/json"),
        transport.Request("GET", "/apis/coordination.k8s.io/v1/leases/a"),
        transport.Request("GET", "/apis/node.k8s.io/v1/runtimeclasses/a/status"),
    ],
    ids=lambda request: f"{request.method} {request.path}",
)
def test_what_the_model_does_not_know_stops_the_test(
    server: model.Server, client: api.Client, request_: transport.Request
):
    client.create(NODES, node("a"), decode=api.ignore)
    with pytest.raises(Unsupported):
        server.send(request_)


def test_a_stale_list_tells_the_past(server: model.Server, client: api.Client):
    client.create(NODES, node("a"), decode=api.ignore)
    client.create(NODES, node("b"), decode=api.ignore)
    client.delete(NODES, "a")
    server.stale = 1
    names = [found["metadata"]["name"] for found in client.list(NODES, decode=api.document)]

    assert names == ["a", "b"]
    assert int(next(client.pages(NODES)).resource_version) == server.etcd.revision - 1


def test_a_lost_reply_is_of_a_write_that_was_done(server: model.Server):
    broken = faulty.Faulty(server)
    broken.next(faulty.NoReply(), when=faulty.writes)
    client = api.Client(broken, manager="test")
    with pytest.raises(errors.Unreachable):
        client.create(NODES, node("a"), decode=api.ignore)

    assert server.document(NODES, "a") is not None


def test_a_refused_write_is_not_done(server: model.Server):
    broken = faulty.Faulty(server)
    broken.next(faulty.Refuse(429, "TooManyRequests", retry_after_s=3), when=faulty.writes)
    client = api.Client(broken, manager="test")
    assert client.list(NODES, decode=api.document) == ()
    with pytest.raises(errors.TooManyRequests) as caught:
        client.create(NODES, node("a"), decode=api.ignore)

    assert caught.value.retry_after_s == 3
    assert server.documents(NODES) == []


def test_a_restored_server_gives_revisions_a_second_time(server: model.Server, client: api.Client):
    client.create(NODES, node("a"), decode=api.ignore)
    backup = server.etcd.revision
    first = client.create(NODES, node("b"), decode=api.document)
    server.restore(backup)
    second = client.create(NODES, node("c"), decode=api.document)

    versions = {found["metadata"]["resourceVersion"] for found in (first, second)}
    assert len(versions) == 1
    assert server.document(NODES, "b") is None


def test_an_idle_watch_has_no_bookmark_to_give(server: model.Server, client: api.Client):
    """As the real one: bookmarks are newer than what the watch began with, or do not come."""
    now = 0.0
    server = model.Server(now=lambda: now)
    client = api.Client(server, manager="test")
    since = client.version(NODES)
    with client.watch(NODES, since=since, limits=api.WatchLimits(duration_s=600)) as changes:
        for now in range(599):  # noqa: B007 - the server reads it
            assert isinstance(next(changes), api.Idle)
        now = 600
        assert list(changes) == []


def test_the_model_is_fast_enough_for_simulations(client: api.Client):
    """Writes of objects with a whole NodeRuntime's size, each told to a watch."""
    count = 2_000
    spec = {"nodeUID": "1", "shims": [{"name": f"shim-{n}", "handler": "x" * 60} for n in range(8)]}
    runtimes = resources.NODERUNTIMES
    body = {"apiVersion": runtimes.api_version, "kind": runtimes.kind}
    began = time.process_time()
    with client.watch(runtimes, since="1", limits=api.WatchLimits()) as changes:
        for number in range(count):
            meta = {"name": f"n{number}"}
            client.create(runtimes, {**body, "metadata": meta, "spec": spec}, decode=api.ignore)
            patch = api.Patch({"status": {"observedGeneration": 1}}, subresource="status")
            client.patch(runtimes, f"n{number}", patch, decode=api.ignore)
            assert isinstance(next(changes), api.Put)
            assert isinstance(next(changes), api.Put)
    took = time.process_time() - began

    print(f"{4 * count / took:.0f} operations/s")
    assert 4 * count / took > PER_S
