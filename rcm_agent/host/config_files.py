"""Reading containerd's configuration from the host: the root, and everything it imports.

Called by `look`. What containerd itself would not start with is refused here with the file and
the line, because `config dump` of 2.x is silent about a missing import.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Iterable

from rcm_agent import errors, ports
from rcm_agent.containerd import glob, imports, model, places, toml

_UNREADABLE = "containerd cannot read it either; look at what is at that path"
_OWNER = "the agent's pod has no right to read files of others: make root its owner"

_LINE = re.compile(r"\(at (?:line (?P<line>\d+), column \d+|end of document)\)")


def read_tree(
    kernel: ports.Kernel,
    root_path: str,
    *,
    release: tuple[int, int, int] = (2, 0, 0),
    also: Iterable[str] = (),
) -> model.Tree:
    """Return the configuration as it is on disk.

    Args:
        kernel: the host's files.
        root_path: containerd's own `--config`.
        release: of the containerd that reads it.
        also: paths of files that we changed earlier and that may no longer be imported.

    Raises:
        ConfigRefused: a file that containerd loads, or would, cannot be read or understood.
    """
    root = _read(kernel, root_path) if kernel.lstat(root_path) is not None else None
    loaded: tuple[tuple[str, bytes], ...] = ()
    if root is not None:
        _check_patterns(root_path, root, release)
        loaded = imports.walk(
            root_path,
            root,
            load=lambda path: _import(kernel, path, release),
            expand=lambda pattern: expand(kernel, pattern),
        )
    known = {root_path, *(path for path, _ in loaded)}
    return model.Tree(
        root_path=root_path,
        root=root,
        imports=tuple(model.Source(path, data) for path, data in loaded),
        unused=tuple(_unused(kernel, root_path, known, also)),
    )


def expand(kernel: ports.Kernel, pattern: str) -> tuple[str, ...]:
    """Return what filepath.Glob returns; directories that cannot be read have no matches."""
    directory, name = posixpath.split(pattern)
    parents = expand(kernel, directory) if glob.is_pattern(directory) else (directory,)
    return tuple(
        path
        for parent in parents
        for entry in _entries(kernel, parent)
        if glob.matches(pattern, path := posixpath.join(parent, entry))
        and (glob.is_pattern(name) or entry == name)
    )


def _entries(kernel: ports.Kernel, directory: str) -> tuple[str, ...]:
    try:
        return kernel.listdir(directory)
    except OSError:
        return ()


def _unused(
    kernel: ports.Kernel, root_path: str, known: set[str], also: Iterable[str]
) -> Iterable[model.Source]:
    here = places.Places(root_path)
    matched = (path for pattern in here.globs for path in expand(kernel, pattern))
    for path in sorted({*matched, *here.files, *also} - known):
        found = kernel.lstat(path)
        if found is not None and found.kind != "dir":
            yield model.Source(path, _read(kernel, path))


def _import(kernel: ports.Kernel, path: str, release: tuple[int, int, int]) -> bytes:
    if kernel.lstat(path) is None:
        raise errors.ConfigRefused(
            f"{path} is imported and does not exist",
            advice="put it back or take it out of `imports`: containerd does not start like this",
        )
    data = _read(kernel, path)
    _check_patterns(path, data, release)
    return data


def _read(kernel: ports.Kernel, path: str) -> bytes:
    try:
        data = kernel.read(path)
    except OSError as error:
        raise errors.ConfigRefused(
            f"cannot read {path}: {errors.clip(error.strerror or str(error))}",
            advice=_OWNER if isinstance(error, PermissionError) else _UNREADABLE,
        ) from error
    try:
        toml.parse(data)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _malformed(f"{path}:{line}", "not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise _malformed(*_place(path, data, str(error))) from error
    except RecursionError as error:
        raise _malformed(path, "nested too deeply") from error
    return data


def _place(path: str, data: bytes, message: str) -> tuple[str, str]:
    found = _LINE.search(message)
    if found is None:
        return path, message
    line = found["line"] or data.count(b"\n") + 1
    return f"{path}:{line}", _LINE.sub("", message).strip()


def _malformed(where: str, what: str) -> errors.ConfigRefused:
    return errors.ConfigRefused(
        f"{where}: {errors.clip(what)}",
        advice="correct that line; `containerd config dump` on the host shows whether it is read",
    )


def _check_patterns(path: str, data: bytes, release: tuple[int, int, int]) -> None:
    """Refuse what 1.6 reads in another way: relative patterns, from its working directory."""
    if release >= (1, 7, 0):
        return
    for pattern in imports.listed(path, data):
        if glob.is_pattern(pattern) and not posixpath.isabs(pattern):
            raise errors.ConfigRefused(
                f"{path} imports the relative pattern {errors.clip(pattern)!r}, which containerd "
                f"1.6 takes from the directory it was started in",
                advice="write it as an absolute path",
            )
