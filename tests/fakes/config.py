"""How containerd reads its configuration: files, imports, merge, migration, defaults.

Called by `daemon` at every start and by `commands` for `config dump`. The rules are those seen on
real binaries of 1.6, 1.7, 2.1 and 2.3, silent losses included:

- 1.x merges imports by replacing each plugin's whole table; 2.x merges deeply;
- 2.0 to 2.2 merge first and migrate the result if it still says version 2; the old CRI table is
  dropped where a new one exists; 2.3 migrates every file for itself, before the merge;
- a drop-in with a higher version than the root ends a 2.3 daemon.
"""

from __future__ import annotations

import copy
import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from tests.fakes import disk as disks
from tests.fakes import schema

Table = dict[str, Any]


class Unreadable(Exception):  # noqa: N818
    """containerd exits with this text."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a containerd makes of its files; shared, never to be changed."""

    release: tuple[int, int, int]
    files: tuple[tuple[str, bytes], ...]
    """Path and content, in the order of reading."""
    top: Table
    """Everything but plugins, with defaults."""
    plugins: Table
    """CRI's tables, migrated, with defaults; other plugins as written."""
    cri_error: str = ""
    """Not empty: the daemon runs, its CRI plugin does not."""

    @property
    def runtimes(self) -> Mapping[str, Table]:
        return schema.runtimes(self.release, self.plugins)

    @property
    def sandbox_image(self) -> str:
        if self.release < (2,):
            return str(self.plugins[schema.OLD]["sandbox_image"])
        return str(self.plugins[schema.IMAGES]["pinned_images"]["sandbox"])

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy by what it was made from: it is in the cache."""
        return _loaded, (self.release, self.files)

    def dump(self) -> Table:
        """Return what `config dump` prints."""
        return {
            **self.top,
            "imports": sorted(path for path, _ in self.files),
            "plugins": self.plugins,
        }


def load(disk: disks.Disk, path: str, release: tuple[int, int, int]) -> Loaded:
    """Read a configuration as the daemon does; a missing root file means defaults.

    Raises:
        Unreadable: containerd would exit.
    """
    return _loaded(release, tuple(_files(disk, path).items()))


@functools.lru_cache(maxsize=4096)
def _loaded(release: tuple[int, int, int], found: tuple[tuple[str, bytes], ...]) -> Loaded:
    files = {name: copy.deepcopy(_parse(name, data)) for name, data in found}
    version = next(iter(files.values()), {}).get("version", 1) if files else 0
    for name, table in files.items():
        _check_version(name, table, root=version, release=release)
    merged = _merge(list(files.values()), release)
    plugins = _migrate(merged.pop("plugins", {}), merged.pop("version", 1), release, files)
    merged.pop("imports", None)
    top, wrong = schema.top(release, merged)
    if wrong:
        raise Unreadable(f"failed to load TOML: {wrong}")
    plugins, error = schema.plugins(release, plugins)
    error = error or schema.disabled(top) or schema.unusable(release, plugins)
    return Loaded(release, found, top, plugins, error)


@functools.lru_cache(maxsize=4096)
def _parse(path: str, data: bytes) -> Table:
    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Unreadable(f"failed to load TOML: {path}: {error}") from error


def _files(disk: disks.Disk, root: str) -> dict[str, bytes]:
    """Read the root file and, breadth first, whatever is imported."""
    found: dict[str, bytes] = {}
    todo = [root]
    while todo:
        path = todo.pop(0)
        if path in found:
            continue
        data = _read(disk, path)
        if data is None and path == root:
            return {}
        if data is None:
            raise Unreadable(f"failed to load TOML: {path}: open {path}: no such file or directory")
        found[path] = data
        imports = _parse(path, data).get("imports", [])
        if not isinstance(imports, list) or not all(isinstance(i, str) for i in imports):
            raise Unreadable(f"failed to load TOML: {path}: (imports): incompatible types")
        for text in imports:
            todo += _resolve(disk, path, text)
    return found


def _read(disk: disks.Disk, path: str) -> bytes | None:
    try:
        inode = disk.follow(path)
    except OSError:
        return None
    if inode.kind != "file":
        raise Unreadable(f"failed to load TOML: {path}: read {path}: is a directory")
    return inode.data


def _resolve(disk: disks.Disk, importer: str, text: str) -> list[str]:
    path = text if text.startswith("/") else str(PurePosixPath(importer).parent / text)
    return disk.glob(path) if "*" in path else [path]


def _check_version(path: str, table: Table, *, root: Any, release: tuple[int, int, int]) -> None:
    version = table.get("version", 0)
    if type(version) is not int:
        raise Unreadable(f"failed to load TOML: {path}: (version): incompatible types")
    newest = schema.newest_version(release)
    if version > newest:
        raise Unreadable(f"expected containerd config version {newest}, got {version}: {path}")
    if release >= (2, 3) and version > root:
        raise Unreadable(f"{path}: version {version} is newer than the root's {root}")


def _merge(files: list[Table], release: tuple[int, int, int]) -> Table:
    files = [_migrate_file(table, release) for table in files]
    merged: Table = files[0] if files else {"version": schema.newest_version(release)}
    for table in files[1:]:
        plugins = table.pop("plugins", {})
        if table.get("version") == 0:
            table.pop("version")
        _deep(merged, table, append=True)
        mine = merged.setdefault("plugins", {})
        if release < (2,):
            mine.update(plugins)
        else:
            _deep(mine, plugins, append=False)
    return merged


def _migrate_file(table: Table, release: tuple[int, int, int]) -> Table:
    """From 2.3 on each file is brought to version 4 by itself."""
    if release >= (2, 3) and table.get("version", 0) < schema.newest_version(release):
        plugins = table.get("plugins", {})
        if "cri" in plugins and table.get("version", 1) == 1:
            plugins.setdefault(schema.OLD, plugins.pop("cri"))
        table["plugins"] = schema.migrate_cri(plugins)
    return table


def _migrate(
    plugins: Table, version: int, release: tuple[int, int, int], files: Mapping[str, Table]
) -> Table:
    """Bring the merged plugins to the ids that this release reads."""
    if release < (2,):
        if version == 1 and files:
            plugins = {k: v for k, v in plugins.items() if k != schema.OLD}
            if "cri" in plugins:
                plugins[schema.OLD] = plugins.pop("cri")
        return plugins
    if release < (2, 3) and version == schema.FIRST_WITH_URIS:
        return schema.migrate_cri(plugins)
    return plugins


def _deep(into: Table, table: Mapping[str, Any], *, append: bool) -> None:
    """Merge tables key by key; lists of the top level are appended without doubles."""
    for key, value in table.items():
        old = into.get(key)
        if isinstance(old, dict) and isinstance(value, Mapping):
            if append and key in schema.REPLACED:
                old.update(value)
            else:
                _deep(old, value, append=append)
        elif append and isinstance(old, list) and isinstance(value, list):
            old.extend(item for item in value if item not in old)
        else:
            into[key] = copy.deepcopy(value)
