"""Which files containerd loads, and in what order.

The root first, then what it imports in the order of its list (the matches of a pattern sorted),
then what those import, and so on: a queue. A path is loaded once, so circles are harmless.
`host.config_files` walks the disk with this, `flatten` a state that is not on disk.
"""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Callable, Iterable

from rcm_agent import errors
from rcm_agent.containerd import glob, toml

Load = Callable[[str], bytes]
Expand = Callable[[str], Iterable[str]]


def listed(path: str, data: bytes | None) -> tuple[str, ...]:
    """Return the imports of a file as they are written.

    Raises:
        ConfigRefused: `imports` is no list of strings; containerd does not start with it.
    """
    found: object = toml.parse(data).get("imports", [])
    if not toml.is_list(found) or not all(isinstance(item, str) for item in found):
        raise errors.ConfigRefused(
            f"imports in {path} is not a list of strings",
            advice="correct it: containerd does not start with it",
        )
    return tuple(found)


def absolute(path: str, pattern: str) -> str:
    """Return an import of the file `path` as containerd looks for it."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), pattern))


def patterns(path: str, data: bytes | None) -> tuple[str, ...]:
    """Return what a file imports, absolute: file names and patterns."""
    return tuple(absolute(path, pattern) for pattern in listed(path, data))


def covers(path: str, data: bytes | None, target: str) -> bool:
    """Tell whether the file `path` itself imports a pattern that matches `target`."""
    return any(
        glob.is_pattern(pattern) and glob.matches(pattern, target)
        for pattern in patterns(path, data)
    )


def walk(
    root_path: str, root: bytes, *, load: Load, expand: Expand
) -> tuple[tuple[str, bytes], ...]:
    """Return every imported file in containerd's order, the root left out."""
    loaded: dict[str, bytes] = {}
    pending = deque([root_path])
    while pending:
        path = pending.popleft()
        if path in loaded:
            continue
        data = loaded[path] = load(path) if loaded else root
        for pattern in patterns(path, data):
            pending.extend(expand(pattern) if glob.is_pattern(pattern) else (pattern,))
    return tuple(loaded.items())[1:]
