"""Strategies for containerd 2.x: a file of our own that is imported.

Either in our directory, imported by one marked change to the root, or in `conf.d` where the root
imports that itself. The trial is a file in /run/rcm that is loaded last.
"""

from __future__ import annotations

from collections.abc import Iterator

from rcm_agent import ports
from rcm_agent.containerd import (
    block,
    dialect,
    imports,
    model,
    ours,
    patterns_edit,
    places,
    site,
    toml,
)


def edits(here: site.Site, wanted: block.Tables) -> Iterator[model.Edit]:
    """Yield the drop-in edits, the best first."""
    root = toml.parse(here.bare(here.places.root))
    ids = dialect.plugins_for_drop_in((data for _, data in here.base_files()), root)
    for plugin in ids:
        for place in _places(here):
            yield _edit(here, place, plugin, wanted)


def _places(here: site.Site) -> Iterator[str]:
    """Yield where the drop-in may be: where it is today, then conf.d if that is imported."""
    found = [here.places.drop_in]
    if _conf_d_is_imported(here):
        found.insert(0, here.places.conf_d)
    found.sort(key=lambda path: path not in here.active or here.bare(path) is not None)
    yield from found


def _conf_d_is_imported(here: site.Site) -> bool:
    return imports.covers(here.places.root, here.bare(here.places.root), here.places.conf_d)


def _edit(here: site.Site, place: str, plugin: str, wanted: block.Tables) -> model.Edit:
    holder = _holder(here, place)
    patterns = (places.RUN_GLOB,) if holder == place else here.places.globs
    attached: ports.Files = _attached(here, holder, patterns)
    final = _final(here, place, plugin, wanted, holder=holder, patterns=patterns)
    trial = final
    if _only_adds(here, plugin, wanted):
        trial = {**attached, places.RUN_FILE: site.with_runtimes(None, plugin, wanted)}
    else:
        attached = {}
    return model.Edit(
        strategy="conf.d" if place == here.places.conf_d else "drop-in",
        evidence=_evidence(here, place, plugin),
        attached=here.differing(attached),
        trial=here.differing(trial),
        final=here.differing(final),
    )


def _holder(here: site.Site, place: str) -> str:
    """Return the file whose `imports` we extend: the root, or the drop-in that it imports."""
    return place if place == here.places.conf_d else here.places.root


def _attached(here: site.Site, holder: str, patterns: tuple[str, ...]) -> ports.Files:
    """Import more, change nothing: a file of ours that nothing imports today must go first."""
    inactive = {
        path: here.bare(path)
        for path in here.places.files
        if path in here.today and path not in here.active
    }
    now = inactive.get(holder, here.today.get(holder))
    text = toml.decode(now) if now is not None else _new(here, holder)
    return {**inactive, holder: patterns_edit.add(text, patterns).encode()}


def _final(
    here: site.Site,
    place: str,
    plugin: str,
    wanted: block.Tables,
    *,
    holder: str,
    patterns: tuple[str, ...],
) -> ports.Files:
    state = dict(here.base)
    bare = here.bare(holder)
    text = toml.decode(bare) if bare is not None else _new(here, holder)
    state[holder] = patterns_edit.add(text, patterns).encode()
    state[place] = site.with_runtimes(state.get(place), plugin, wanted)
    return {path: here.settle(path, data) for path, data in state.items()}


def _new(here: site.Site, path: str) -> str:
    return ours.created(here.release) if path == here.places.root else ""


def _only_adds(here: site.Site, plugin: str, wanted: block.Tables) -> bool:
    """Tell whether merging the wanted tables over today's gives exactly the wanted ones.

    Merging cannot take a runtime or an option away. There the trial is the final state on disk:
    it is proven by `config dump` all the same, and only runtimes of ours are at stake.
    """
    return all(wanted.get(name) == table for name, table in here.our_tables().items()) and all(
        name in dialect.runtimes(toml.parse(here.today[path]), plugin)
        for path in here.active
        if path in here.today and here.bare(path) is None
        for name in dialect.all_runtimes(toml.parse(here.today[path]))
    )


def _evidence(here: site.Site, place: str, plugin: str) -> tuple[str, ...]:
    release = ".".join(map(str, here.release))
    root = here.places.root
    imported = (
        f"{root} itself imports a pattern that matches {place}"
        if place == here.places.conf_d
        else f"{root} gets one marked import; the runtimes go to {place}"
    )
    return (
        f"containerd {release} merges imported files deeply, so a drop-in changes nothing else",
        imported,
        _why_plugin(here, plugin),
    )


def _why_plugin(here: site.Site, plugin: str) -> str:
    for path, data in here.base_files():
        if dialect.runtimes(data, plugin):
            return f"{path} defines its runtimes under {plugin}"
    version = toml.parse(here.bare(here.places.root)).get("version")
    return f"no file defines runtimes; {plugin} is what a root with version {version} is read by"
