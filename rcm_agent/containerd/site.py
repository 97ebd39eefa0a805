"""The files of one host as a proposal sees them: today, and without us.

Made by `propose` from a tree and the journal's memory; the strategies compute from it. Everything
is derived from the bytes: nothing here remembers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rcm_agent import ports
from rcm_agent.containerd import block, dialect, imports, marks, model, ours, places, toml


@dataclass(frozen=True, slots=True)
class Site:
    """Contents by path."""

    places: places.Places
    release: dialect.Release
    today: Mapping[str, bytes]
    active: tuple[str, ...]
    """Paths that containerd loads today, in order, the root first."""
    base: ports.Files
    """Of every path of `today`: without us. None where we made the file."""

    def bare(self, path: str) -> bytes | None:
        """Return a file without us, None where there is none."""
        return self.base.get(path)

    def base_files(self) -> tuple[tuple[str, toml.Table], ...]:
        """Return what containerd would load without us, in order."""
        found = ((path, self.bare(path)) for path in self.active)
        return tuple((path, toml.parse(data)) for path, data in found if data is not None)

    def our_tables(self) -> Mapping[str, toml.Table]:
        """Return the runtime tables that containerd loads and that are ours."""
        found: dict[str, toml.Table] = {}
        for path in self.active:
            bare = dialect.all_runtimes(toml.parse(self.bare(path)))
            now = dialect.all_runtimes(toml.parse(self.today.get(path)))
            found.update((name, table) for name, table in now.items() if name not in bare)
        return found

    def differing(self, state: ports.Files) -> dict[str, bytes | None]:
        """Return the paths of a state that differ from today's."""
        return {path: data for path, data in state.items() if self.today.get(path) != data}

    def settle(self, path: str, data: bytes | None) -> bytes | None:
        """Return today's bytes where they mean the same, so that nothing is written in vain.

        Our part may stand elsewhere in the file than where we would put it now.
        """
        now = self.today.get(path)
        if data is None or now is None or toml.parse(now) != toml.parse(data):
            return data
        return now if len(_marks(now)) == len(_marks(data)) else data

    def attached(self) -> bool:
        """Tell whether containerd looks into /run/rcm today."""
        return any(
            imports.covers(path, self.today.get(path), places.RUN_FILE) for path in self.active
        )


def look(tree: model.Tree, *, release: dialect.Release, owned: tuple[model.Owned, ...]) -> Site:
    """Put a tree and the journal's memory together."""
    here = places.Places(tree.root_path)
    remembered = {record.path: record for record in owned}
    sources = (*tree.imports, *tree.unused)
    today = {source.path: source.data for source in sources}
    if tree.root is not None:
        today[tree.root_path] = tree.root
    base = {
        path: None
        if path == places.RUN_FILE
        else ours.without(data, remembered.get(path), globs=here.globs, mine=path in here.files)
        for path, data in today.items()
    }
    active = (tree.root_path, *(source.path for source in tree.imports))
    return Site(places=here, release=release, today=today, active=active, base=base)


def with_runtimes(data: bytes | None, plugin: str, tables: block.Tables) -> bytes:
    """Return a file with our runtimes."""
    return block.add(toml.decode(data or b""), plugin, tables).encode()


def _marks(data: bytes) -> tuple[marks.Mark, ...]:
    return marks.find(toml.decode(data))
