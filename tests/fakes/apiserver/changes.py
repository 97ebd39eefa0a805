"""From an object and a patch to a new object; neither is touched.

Also who owns which field, for server-side apply: `Owners` maps paths of leaves to managers. Lists
are leaves, so an applied list is owned whole (the real server knows lists with keys too).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.fakes.apiserver.kinds import Document

Path = tuple[str, ...]
Owners = dict[Path, frozenset[str]]
_UNOWNED = (
    ("apiVersion",),
    ("kind",),
    ("metadata", "name"),
    ("metadata", "namespace"),
    ("metadata", "uid"),
    ("metadata", "generation"),
    ("metadata", "creationTimestamp"),
    ("metadata", "deletionTimestamp"),
    ("metadata", "resourceVersion"),
)


def merge(old: Any, patch: Any) -> Any:
    """Return a JSON merge patch applied (RFC 7386): null deletes, lists are replaced."""
    if not isinstance(patch, Mapping):
        return patch
    new: Document = dict(old) if isinstance(old, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = merge(new.get(key), value)
    return new


def leaves(document: Any, at: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Give all leaves with their paths; an empty map is one."""
    if not isinstance(document, Mapping) or (at and not document):
        yield at, document
        return
    for key, value in document.items():
        yield from leaves(value, (*at, key))


def owned(document: Mapping[str, Any]) -> dict[Path, Any]:
    """Return the leaves that somebody can own."""
    return {path: value for path, value in leaves(document) if path not in _UNOWNED}


def conflicts(
    owners: Owners, old: Mapping[str, Any], applied: Mapping[Path, Any], manager: str
) -> dict[str, list[Path]]:
    """Return what other managers own and would be changed, by manager."""
    found: dict[str, list[Path]] = {}
    for path, managers in owners.items():
        if _taken(path, old, applied):
            for other in managers - {manager}:
                found.setdefault(other, []).append(path)
    return found


def applied(
    owners: Owners, old: Mapping[str, Any], body: Mapping[str, Any], manager: str
) -> tuple[Document, Owners]:
    """Return the object with `body` applied, and who owns what then.

    What the manager applied before and does not name any more goes, unless another one has it too.
    """
    wanted = owned(body)
    new: Document = merge(dict(old), body)
    after: Owners = {path: frozenset({manager}) for path in wanted}
    for path, managers in owners.items():
        if _taken(path, old, wanted):
            continue
        left = managers | {manager} if path in wanted else managers - {manager}
        if left:
            after[path] = left
        elif not any(_related(path, other) for other in wanted):
            new = _without(new, path)
    return new, after


def _taken(path: Path, old: Mapping[str, Any], wanted: Mapping[Path, Any]) -> bool:
    """Tell whether applying would give another value to what is owned at `path`."""
    if path in wanted:
        return bool(_at(old, path) != wanted[path])
    if isinstance(_at(old, path), Mapping):
        return any(_related(path, other) and len(other) < len(path) for other in wanted)
    return any(_related(path, other) for other in wanted)


def _related(one: Path, other: Path) -> bool:
    """Tell whether one path leads through the other."""
    length = min(len(one), len(other))
    return one != other and one[:length] == other[:length]


def updated(owners: Owners, old: Mapping[str, Any], new: Mapping[str, Any], manager: str) -> Owners:
    """Return who owns what after a create, a replace or a merge patch: what changed is yours."""
    before, now = owned(old), owned(new)
    after = {path: managers for path, managers in owners.items() if path in now}
    for path, value in now.items():
        if path not in before or before[path] != value:
            after[path] = frozenset({manager})
    return after


def _at(document: Any, path: Path) -> Any:
    for key in path:
        if not isinstance(document, Mapping) or key not in document:
            return None
        document = document[key]
    return document


def _without(document: Document, path: Path) -> Document:
    """Return a copy without one leaf; maps that are empty then go too."""
    key, *rest = path
    if key not in document:
        return document
    copy = dict(document)
    below = _without(copy[key], tuple(rest)) if rest and isinstance(copy[key], Mapping) else None
    if below:
        copy[key] = below
    else:
        del copy[key]
    return copy
