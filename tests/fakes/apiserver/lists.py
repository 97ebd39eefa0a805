"""Lists: pages of one snapshot, and continue tokens that expire with the history."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import msgspec

from tests.fakes.apiserver import selectors
from tests.fakes.apiserver.answers import bad, expired
from tests.fakes.apiserver.etcd import Entry, Etcd, Key
from tests.fakes.apiserver.kinds import Kind


class _Token(msgspec.Struct):
    """As the real server's, which is opaque all the same."""

    revision: int = msgspec.field(name="rv")
    start: str
    """Namespace and name of the last object that was given."""
    version: str = msgspec.field(name="v", default="meta.k8s.io/v1")


def answer(etcd: Etcd, kind: Kind, namespace: str, query: Mapping[str, str], stale: int) -> bytes:
    """Return a page; `stale` revisions behind, as a server that fell behind would say it."""
    matches = selectors.parse(kind, query)
    token = _read(query["continue"]) if query.get("continue") else None
    revision = token.revision if token else max(etcd.oldest, etcd.revision - stale)
    if revision < etcd.oldest:
        raise expired(
            "The provided continue parameter is too old to display a consistent list result. You "
            "can start a new list without the continue parameter, or use the continue token in "
            "this response to retrieve the remainder of the results."
        )
    namespace_, _, name = token.start.partition("/") if token else ("", "", "")
    start = (namespace_, name)
    found = _objects(etcd, kind, revision)
    keys = sorted(key for key in found if key > start and (not namespace or key[0] == namespace))
    items = [(key, found[key]) for key in keys]
    if matches is not None:
        items = [(key, entry) for key, entry in items if matches(entry.document)]
    limit = int(query.get("limit", "0")) or len(items)
    return _page(kind, revision, items[:limit], left=len(items) - limit)


def _objects(etcd: Etcd, kind: Kind, revision: int) -> Mapping[Key, Entry]:
    if revision == etcd.revision:
        return etcd.shelf(kind.resource).objects
    return etcd.at(kind.resource, revision)


def _page(kind: Kind, revision: int, items: list[tuple[Key, Entry]], *, left: int) -> bytes:
    metadata: dict[str, object] = {"resourceVersion": str(revision)}
    if left > 0:
        token = msgspec.json.encode(_Token(revision, "/".join(items[-1][0])))
        metadata["continue"] = base64.urlsafe_b64encode(token).decode().rstrip("=")
        metadata["remainingItemCount"] = left
    head = msgspec.json.encode(
        {
            "kind": f"{kind.resource.kind}List",
            "apiVersion": kind.resource.api_version,
            "metadata": metadata,
        }
    )
    return head[:-1] + b',"items":[' + b",".join(entry.json for _, entry in items) + b"]}"


def _read(text: str) -> _Token:
    try:
        return msgspec.json.decode(
            base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Token
        )
    except (ValueError, msgspec.DecodeError) as error:
        raise bad("continue key is not valid") from error
