"""A copy of a state of the files, for `containerd config dump` to read without touching the host.

Every file that containerd would load is copied to a scratch directory without its `imports`, and
the copy of the root imports the other copies by name, in containerd's own order. So containerd
itself parses, merges and migrates exactly these contents.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence

from rcm_agent import errors, ports
from rcm_agent.containerd import glob, imports, model, scan, toml

NO_ROOT = b"version = 2\n"
"""Stands for a missing root, as `--config` of a missing file fails on 1.x. `config dump` of this
equals `config default` on 1.6.20, 1.7.24, 2.1.9, 2.2.9 and 2.3.7."""


def flatten(
    tree: model.Tree, changes: ports.Files, scratch: str
) -> tuple[str, Mapping[str, bytes]]:
    """Return the path to give to `containerd -c`, and the files to write for it.

    Args:
        tree: what is on disk.
        changes: what would differ.
        scratch: a directory that nobody else uses.

    Raises:
        ConfigRefused: a file that is imported by name would be missing.
    """
    state = _state(tree, changes)
    root = state.get(tree.root_path)
    if root is None:
        path = posixpath.join(scratch, "0-root.toml")
        return path, {path: NO_ROOT}
    loaded = imports.walk(
        tree.root_path,
        root,
        load=lambda path: _load(state, path),
        expand=lambda pattern: _expand(state, pattern),
    )
    names = [
        posixpath.join(scratch, f"{index}-{posixpath.basename(path)}")
        for index, (path, _) in enumerate(((tree.root_path, root), *loaded))
    ]
    copies = {
        name: _with_imports(data, ()) for name, (_, data) in zip(names[1:], loaded, strict=True)
    }
    return names[0], {names[0]: _with_imports(root, names[1:]), **copies}


def _state(tree: model.Tree, changes: ports.Files) -> dict[str, bytes]:
    state: dict[str, bytes | None] = {s.path: s.data for s in (*tree.imports, *tree.unused)}
    state[tree.root_path] = tree.root
    state.update(changes)
    return {path: data for path, data in state.items() if data is not None}


def _load(state: Mapping[str, bytes], path: str) -> bytes:
    if path not in state:
        raise errors.ConfigRefused(
            f"{path} is imported and would not be there",
            advice="take it out of `imports`, or put the file there",
        )
    return state[path]


def _expand(state: Mapping[str, bytes], pattern: str) -> Iterable[str]:
    return sorted((path for path in state if glob.matches(pattern, path)), key=glob.order)


def _with_imports(data: bytes, names: Sequence[str]) -> bytes:
    """Replace a file's `imports`; its other lines stay as they are."""
    text = toml.decode(data)
    line = f"imports = {toml.value(list(names))}"
    for statement in scan.scan(text).root_keys():
        if statement.path == ("imports",):
            return (text[: statement.start] + line + text[statement.value_end :]).encode()
    return _on_top(text, line).encode() if names else data


def _on_top(text: str, line: str) -> str:
    mark = scan.BOM if text.startswith(scan.BOM) else ""
    return mark + line + "\n" + text.removeprefix(scan.BOM)
