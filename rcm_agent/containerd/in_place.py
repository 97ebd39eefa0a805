"""The strategy for containerd 1.x: a marked block in the file that defines CRI's settings.

An import replaces a whole plugin table there, so a drop-in would lose every other CRI setting.
For the trial that is of use: one file in /run/rcm with the complete table takes effect, and is
gone after a power cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rcm_agent import ports
from rcm_agent.containerd import block, dialect, model, ours, patterns_edit, places, site, toml

BUILT_IN = frozenset({"runc"})
"""Runtimes that containerd has without any file."""


def edits(here: site.Site, wanted: block.Tables, dump: Mapping[str, Any]) -> tuple[model.Edit, ...]:
    """Return the one edit there is."""
    plugin = dialect.plugin_in_place(data for _, data in here.base_files())
    file = definer(here, plugin)
    tables = {**_implicit(here, file, plugin, dump), **wanted}
    attached = _attached(here)
    final = _final(here, file, plugin, tables)
    edit = model.Edit(
        strategy="in-place",
        evidence=_evidence(here, file, plugin, added=frozenset(tables) - frozenset(wanted)),
        attached=here.differing(attached),
        trial=here.differing({**attached, places.RUN_FILE: trial_file(final[file], plugin)}),
        final=here.differing(final),
    )
    return (edit,)


def trial_file(data: bytes | None, plugin: str) -> bytes:
    """Return a file that replaces the plugin's table by that of `data`."""
    meaning = toml.parse(data)
    lines = [f"version = {meaning['version']}"] if "version" in meaning else []
    lines += toml.tables(("plugins", plugin), toml.table(meaning, "plugins", plugin))
    return ("\n".join(lines) + "\n").encode()


def definer(here: site.Site, plugin: str) -> str:
    """Return the file whose table counts: the last one that has it."""
    found = [path for path, data in here.base_files() if plugin in data.get("plugins", {})]
    return found[-1] if found else here.places.root


def _implicit(
    here: site.Site, file: str, plugin: str, dump: Mapping[str, Any]
) -> Mapping[str, toml.Table]:
    """Return the runtimes that containerd has built in only as long as no file defines any.

    That is runc. It is written out as it is effective now, values that say nothing left out.
    """
    written = dialect.runtimes(toml.parse(here.bare(file)), plugin)
    now = dialect.effective(dump).get("runtimes", {})
    return {n: _telling(now[n]) for n in sorted(BUILT_IN) if n in now and n not in written}


def _telling(table: toml.Table) -> toml.Table:
    """Leave out zero values; an options table that says nothing stays one, as it is effective."""
    options = {key: item for key, item in toml.table(table, "options").items() if item}
    return {
        key: item for key, item in {**table, "options": options}.items() if item or key == "options"
    }


def _attached(here: site.Site) -> ports.Files:
    root = here.places.root
    now = here.today.get(root)
    text = toml.decode(now) if now is not None else ours.created(here.release)
    return {root: patterns_edit.add(text, (places.RUN_GLOB,)).encode()}


def _final(here: site.Site, file: str, plugin: str, tables: block.Tables) -> ports.Files:
    root = here.places.root
    state = dict(here.base)
    bare = here.bare(root)
    text = toml.decode(bare) if bare is not None else ours.created(here.release)
    state[root] = patterns_edit.add(text, (places.RUN_GLOB,)).encode()
    state[file] = site.with_runtimes(state[file], plugin, tables)
    return {path: here.settle(path, data) for path, data in state.items()}


def _evidence(here: site.Site, file: str, plugin: str, *, added: frozenset[str]) -> tuple[str, ...]:
    release = ".".join(map(str, here.release))
    why = f"containerd {release} replaces a whole plugin table by an imported one: no drop-in here"
    where = f"{file} is where {plugin} is read from, so the runtimes go in there"
    if not added:
        return why, where
    names = ", ".join(sorted(added))
    kept = f"{names} is written out too: without it, defining a runtime drops the built-in one"
    return why, where, kept
