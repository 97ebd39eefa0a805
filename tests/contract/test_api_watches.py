"""What a watch tells at any API server, and how it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from rcm_api.client import api, errors, resources
from rcm_api.client.resources import Resource
from tests.contract.api_servers import WIDGETS, ApiServer, widget

SHORT = api.WatchLimits(duration_s=3, silence_s=30)
"""The server sends its last bookmark 2 s before the end."""


def now_at(client: api.Client, resource: Resource = WIDGETS) -> str:
    return next(client.pages(resource)).resource_version


def told(changes: Iterator[api.Change], *, until: int = 1_000) -> list[str]:
    """Return what comes, in words; at most so many changes, or all until the watch ends."""
    found: list[str] = []
    for change in changes:
        match change:
            case api.Put(item, version) | api.Drop(item, version):
                document = api.document(item)
                assert document["metadata"]["resourceVersion"] == version
                word = "put" if isinstance(change, api.Put) else "drop"
                found.append(f"{word} {document['metadata']['name']}")
            case api.Bookmark():
                pass
            case api.Idle():
                time.sleep(0.01)
        if len(found) == until:
            break
    return found


def follow(client: api.Client, since: str, **options: str) -> list[str]:
    selection = api.Selection(**options)
    with client.watch(WIDGETS, since=since, selection=selection, limits=SHORT) as changes:
        return told(changes)


def test_a_watch_tells_what_happened_since(api_server: ApiServer):
    client = api_server.client()
    client.create(WIDGETS, widget("before"), decode=api.ignore)
    since = now_at(client)
    client.create(WIDGETS, widget("a"), decode=api.ignore)
    client.patch(WIDGETS, "a", api.Patch({"spec": {"size": 1}}), decode=api.ignore)
    client.delete(WIDGETS, "before")

    assert follow(client, since) == ["put a", "put a", "drop before"]


def test_a_watch_tells_what_happens_now(api_server: ApiServer):
    client = api_server.client()
    with client.watch(WIDGETS, since=now_at(client), limits=SHORT) as changes:
        client.create(WIDGETS, widget("a"), decode=api.ignore)
        first = told(changes, until=1)
        client.delete(WIDGETS, "a")
        second = told(changes, until=1)

    assert (first, second) == (["put a"], ["drop a"])


def test_versions_rise_with_deletions_too(api_server: ApiServer):
    client = api_server.client()
    since = now_at(client)
    client.create(WIDGETS, widget("a"), decode=api.ignore)
    client.delete(WIDGETS, "a")
    client.create(WIDGETS, widget("b"), decode=api.ignore)
    with client.watch(WIDGETS, since=since, limits=SHORT) as changes:
        found = [
            int(change.resource_version)
            for change in changes
            if isinstance(change, api.Put | api.Drop)
        ]

    assert len(found) == 3
    assert found == sorted(set(found))
    assert found[0] > int(since)


def test_a_watch_goes_on_where_another_ended(api_server: ApiServer):
    client = api_server.client()
    since = now_at(client)
    for name in ("a", "b"):
        client.create(WIDGETS, widget(name), decode=api.ignore)
    with client.watch(WIDGETS, since=since, limits=SHORT) as changes:
        first = next(change for change in changes if isinstance(change, api.Put))

    assert follow(client, first.resource_version) == ["put b"]


def test_the_removal_of_the_last_finalizer_is_a_deletion(api_server: ApiServer):
    client = api_server.client()
    since = now_at(client)
    client.create(WIDGETS, widget("a", finalizers=["rcm.test/f"]), decode=api.ignore)
    client.delete(WIDGETS, "a")
    patch = api.Patch({"metadata": {"finalizers": None}})
    client.patch(WIDGETS, "a", patch, decode=api.ignore)

    assert follow(client, since) == ["put a", "put a", "drop a"]


def test_a_write_without_effect_is_not_told(api_server: ApiServer):
    client = api_server.client()
    client.create(WIDGETS, widget("a", spec={"size": 1}), decode=api.ignore)
    since = now_at(client)
    client.patch(WIDGETS, "a", api.Patch({"spec": {"size": 1}}), decode=api.ignore)

    assert follow(client, since) == []


def test_what_ceases_to_match_is_dropped(api_server: ApiServer):
    client = api_server.client()
    since = now_at(client)
    client.create(WIDGETS, widget("a"), decode=api.ignore)
    for value in ("yes", "yes", None):
        body = {"metadata": {"labels": {"mine": value}}, "spec": {"is": str(value)}}
        client.patch(WIDGETS, "a", api.Patch(body), decode=api.ignore)
    client.create(WIDGETS, widget("b"), decode=api.ignore)

    assert follow(client, since, labels="mine=yes") == ["put a", "drop a"]


def test_one_object_can_be_watched_alone(api_server: ApiServer):
    client = api_server.client()
    since = now_at(client)
    for name in ("a", "b"):
        client.create(WIDGETS, widget(name), decode=api.ignore)

    assert follow(client, since, fields="metadata.name=b") == ["put b"]


def test_bookmarks_come_before_the_end(api_server: ApiServer):
    client = api_server.client()
    since = now_at(client)
    client.create(WIDGETS, widget("a"), decode=api.ignore)
    with client.watch(WIDGETS, since=since, limits=SHORT) as changes:
        marks = [c.resource_version for c in changes if isinstance(c, api.Bookmark)]

    assert marks
    assert int(marks[-1]) > int(since)
    assert follow(client, marks[-1]) == []


def test_bookmarks_move_on_with_other_kinds(api_server: ApiServer):
    """Otherwise a quiet kind's watch would have to list anew after each compaction."""
    client = api_server.client()
    since = now_at(client)
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker"}}
    node = client.create(resources.NODES, body, decode=api.document)
    with client.watch(WIDGETS, since=since, limits=SHORT) as changes:
        marks = [c.resource_version for c in changes if isinstance(c, api.Bookmark)]

    assert int(marks[-1]) >= int(node["metadata"]["resourceVersion"])


def test_a_watch_ends_when_it_was_asked_to(api_server: ApiServer):
    client = api_server.client()
    began = time.monotonic()
    follow(client, now_at(client))

    assert 2 < time.monotonic() - began < 10


def test_a_watch_from_too_long_ago_has_to_begin_anew(api_server: ApiServer):
    client = api_server.client()
    api_server.compact()
    with pytest.raises(errors.Gone):
        follow(client, "1")


def test_a_watch_from_the_future_says_nothing(api_server: ApiServer):
    """After a restore of etcd from a backup: not even a bookmark; only the clock tells."""
    client = api_server.client()
    future = str(int(now_at(client)) + 1_000_000)
    client.create(WIDGETS, widget("a"), decode=api.ignore)
    with client.watch(WIDGETS, since=future, limits=SHORT) as changes:
        found = [change for change in changes if not isinstance(change, api.Idle)]

    assert found == []


def test_a_kind_that_does_not_exist_cannot_be_watched(api_server: ApiServer):
    api_server.undefine()
    with pytest.raises(errors.NotFound):
        follow(api_server.client(), "1")
