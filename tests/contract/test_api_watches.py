"""What a watch tells at any API server, and how it ends."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from rcm_api.client import api, errors
from rcm_api.client.resources import Resource
from tests.contract.api_servers import WIDGETS, ApiServer, widget

Follow = Callable[..., list[str]]
SHORT = api.WatchLimits(duration_s=1, silence_s=30)
# The first write after a definition takes a real server 2 s.
LONG = api.WatchLimits(duration_s=60, silence_s=30)


def now_at(client: api.Client, resource: Resource = WIDGETS) -> str:
    return next(client.pages(resource)).resource_version


@pytest.fixture
def follow(api_server: ApiServer) -> Follow:
    """Watch widgets to the end."""

    def to_the_end(since: str, **options: str) -> list[str]:
        selection = api.Selection(**options)
        client = api_server.client()
        with client.watch(WIDGETS, since=since, selection=selection, limits=SHORT) as changes:
            return told(api_server, changes)

    return to_the_end


def told(server: ApiServer, changes: Iterator[api.Change], *, until: int = 1_000) -> list[str]:
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
                server.idle()
        if len(found) == until:
            break
    return found


def bookmarks(server: ApiServer, since: str, *, write: str = "") -> list[str]:
    """Return the bookmarks of a watch, the last of which comes 2 s before its end."""
    limits = api.WatchLimits(duration_s=5, silence_s=30)
    found: list[str] = []
    with server.client().watch(WIDGETS, since=since, limits=limits) as changes:
        if write:
            server.client().create(WIDGETS, widget(write), decode=api.ignore)
        for change in changes:
            if isinstance(change, api.Bookmark):
                found.append(change.resource_version)
            if isinstance(change, api.Idle):
                server.idle()
    return found


def test_a_watch_tells_what_happened_since(api_server: ApiServer, follow: Follow):
    client = api_server.client()
    client.create(WIDGETS, widget("before"), decode=api.ignore)
    since = now_at(client)
    client.create(WIDGETS, widget("a"), decode=api.ignore)
    client.patch(WIDGETS, "a", api.Patch({"spec": {"size": 1}}), decode=api.ignore)
    client.delete(WIDGETS, "before")

    assert follow(since) == ["put a", "put a", "drop before"]


def test_a_watch_tells_what_happens_now(api_server: ApiServer):
    client = api_server.client()
    with client.watch(WIDGETS, since=now_at(client), limits=LONG) as changes:
        client.create(WIDGETS, widget("a"), decode=api.ignore)
        first = told(api_server, changes, until=1)
        client.delete(WIDGETS, "a")
        second = told(api_server, changes, until=1)

    assert (first, second) == (["put a"], ["drop a"])


def test_versions_rise_with_deletions_too(api_server: ApiServer):
    client = api_server.client()
    since = now_at(client)
    client.create(WIDGETS, widget("a"), decode=api.ignore)
    client.delete(WIDGETS, "a")
    client.create(WIDGETS, widget("b"), decode=api.ignore)
    with client.watch(WIDGETS, since=since, limits=SHORT) as changes:
        puts = (c for c in changes if isinstance(c, api.Put | api.Drop))
        found = [int(change.resource_version) for change in itertools.islice(puts, 3)]

    assert len(found) == 3
    assert found == sorted(set(found))
    assert found[0] > int(since)


def test_a_watch_goes_on_where_another_ended(api_server: ApiServer, follow: Follow):
    client = api_server.client()
    since = now_at(client)
    for name in ("a", "b"):
        client.create(WIDGETS, widget(name), decode=api.ignore)
    with client.watch(WIDGETS, since=since, limits=SHORT) as changes:
        first = next(change for change in changes if isinstance(change, api.Put))

    assert follow(first.resource_version) == ["put b"]


def test_the_removal_of_the_last_finalizer_is_a_deletion(api_server: ApiServer, follow: Follow):
    client = api_server.client()
    since = now_at(client)
    client.create(WIDGETS, widget("a", finalizers=["rcm.test/f"]), decode=api.ignore)
    client.delete(WIDGETS, "a")
    patch = api.Patch({"metadata": {"finalizers": None}})
    client.patch(WIDGETS, "a", patch, decode=api.ignore)

    assert follow(since) == ["put a", "put a", "drop a"]


def test_a_write_without_effect_is_not_told(api_server: ApiServer, follow: Follow):
    client = api_server.client()
    client.create(WIDGETS, widget("a", spec={"size": 1}), decode=api.ignore)
    since = now_at(client)
    client.patch(WIDGETS, "a", api.Patch({"spec": {"size": 1}}), decode=api.ignore)

    assert follow(since) == []


def test_what_ceases_to_match_is_dropped(api_server: ApiServer, follow: Follow):
    client = api_server.client()
    since = now_at(client)
    client.create(WIDGETS, widget("a"), decode=api.ignore)
    for value in ("yes", "yes", None):
        body = {"metadata": {"labels": {"mine": value}}, "spec": {"is": str(value)}}
        client.patch(WIDGETS, "a", api.Patch(body), decode=api.ignore)
    client.create(WIDGETS, widget("b"), decode=api.ignore)

    assert follow(since, labels="mine=yes") == ["put a", "drop a"]


def test_one_object_can_be_watched_alone(api_server: ApiServer, follow: Follow):
    client = api_server.client()
    since = now_at(client)
    for name in ("a", "b"):
        client.create(WIDGETS, widget(name), decode=api.ignore)

    assert follow(since, fields="metadata.name=b") == ["put b"]


def test_a_bookmark_comes_before_the_end(api_server: ApiServer, follow: Follow):
    since = now_at(api_server.client())
    marks = bookmarks(api_server, since, write="a")

    assert int(marks[-1]) > int(since)
    assert follow(marks[-1]) == []


def test_a_watch_ends_when_it_was_asked_to(api_server: ApiServer, follow: Follow):
    client = api_server.client()
    assert follow(now_at(client)) == []


def test_a_watch_from_too_long_ago_has_to_begin_anew(api_server: ApiServer, follow: Follow):
    api_server.client().create(WIDGETS, widget("a"), decode=api.ignore)
    api_server.compact()
    with pytest.raises(errors.Gone):
        follow("1")


def test_a_watch_from_the_future_says_nothing(api_server: ApiServer, follow: Follow):
    """After a restore of etcd from a backup: not even a bookmark; only the clock tells."""
    client = api_server.client()
    future = str(int(now_at(client)) + 1_000_000)
    client.create(WIDGETS, widget("a"), decode=api.ignore)

    assert follow(future) == []
    assert bookmarks(api_server, future) == []


def test_a_kind_that_does_not_exist_cannot_be_watched(api_server: ApiServer, follow: Follow):
    api_server.undefine()
    with pytest.raises(errors.NotFound):
        follow("1")


def test_watches_end_with_their_kind(api_server: ApiServer):
    """It says neither how the objects went nor that it was the last word."""
    client = api_server.client()
    client.create(WIDGETS, widget("a"), decode=api.ignore)
    limits = api.WatchLimits(duration_s=60, silence_s=30)
    with client.watch(WIDGETS, since=now_at(client), limits=limits) as changes:
        api_server.undefine()
        told(api_server, changes)

    with pytest.raises(errors.NotFound):
        client.list(WIDGETS, decode=api.document)
