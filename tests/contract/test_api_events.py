"""Events at any API server: about objects of the cluster, counted up, found by their object."""

from __future__ import annotations

from typing import Any

import pytest

from rcm_api.client import api, errors, resources
from tests.contract.api_servers import ApiServer


def event(name: str, *, about: str = "worker", namespace: str = "default") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": {"apiVersion": "v1", "kind": "Node", "name": about, "uid": about},
        "reason": "ShimReady",
        "message": "it is",
        "type": "Normal",
        "source": {"component": "test"},
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1,
    }


def create(server: ApiServer, body: dict[str, Any]) -> dict[str, Any]:
    namespace = body["metadata"]["namespace"]
    client = server.client()
    return client.create(resources.EVENTS, body, decode=api.document, namespace=namespace)


def test_an_event_is_counted_up(api_server: ApiServer):
    create(api_server, event("worker.1"))
    patch = api.Patch({"count": 2, "lastTimestamp": "2026-01-01T00:01:00Z"})
    found = api_server.client().patch(
        resources.EVENTS, "worker.1", patch, decode=api.document, namespace="default"
    )

    assert (found["count"], found["message"]) == (2, "it is")


def test_an_event_about_a_node_is_in_the_default_namespace_only(api_server: ApiServer):
    with pytest.raises(errors.Invalid):
        create(api_server, event("worker.1", namespace="kube-system"))


def test_events_are_found_by_their_object(api_server: ApiServer):
    create(api_server, event("a.1", about="a"))
    create(api_server, event("b.1", about="b"))
    fields = "involvedObject.kind=Node,involvedObject.name=b"
    selection = api.Selection(namespace="default", fields=fields)
    found = api_server.client().list(resources.EVENTS, decode=api.document, selection=selection)

    assert [each["metadata"]["name"] for each in found] == ["b.1"]
