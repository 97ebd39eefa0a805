"""Whether two effective configurations differ in our runtimes only.

What is compared is what `containerd config dump` printed for two states of the files, so the
binary that will read them has merged, migrated and filled in everything itself.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from rcm_agent import errors
from rcm_agent.containerd import block, dialect, model, toml

MAX_DIFFERENCES = 20
"""More than that helps nobody; a guess at a screenful."""

_EMPTY: tuple[Any, ...] = ("", 0, False, [], {}, "podsandbox")
"""What a setting that we do not write may show as; the last is the default of `sandboxer`."""

_MISSING = object()


def parse(dump: bytes) -> toml.Table:
    """Return what `config dump` printed.

    Raises:
        ConfigRefused: it is not TOML.
    """
    try:
        return toml.parse(dump)
    except ValueError as error:
        raise errors.ConfigRefused(
            f"`containerd config dump` printed something else than TOML: {errors.clip(str(error))}",
            advice="run that command by hand on the host and look at its output",
        ) from error


def differences(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    runtimes: tuple[model.Runtime, ...],
    removed: Collection[str] = (),
) -> tuple[str, ...]:
    """Return what speaks against `after`; empty: proven.

    Args:
        before: what is effective today.
        after: what would be.
        runtimes: all of ours that must be effective afterwards, exactly so.
        removed: handlers that may differ or go because they were ours before.
    """
    wanted = {runtime.handler: runtime for runtime in runtimes}
    ours = {*wanted, *removed}
    found = [
        *_ours(after, wanted),
        *_leftovers(after, set(removed) - set(wanted)),
        *_taken(before, set(wanted) - set(removed)),
        *_compare((), _without(before, ours), _without(after, ours)),
    ]
    return tuple(found[:MAX_DIFFERENCES])


def _ours(after: Mapping[str, Any], wanted: Mapping[str, model.Runtime]) -> Iterator[str]:
    effective = dialect.effective(after).get("runtimes", {})
    for name, runtime in wanted.items():
        if name not in effective:
            yield f"runtime {name} does not take effect"
            continue
        yield from _compare_runtime(name, block.table(runtime), effective[name])


def _compare_runtime(name: str, wanted: toml.Table, found: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted({*wanted, *found}):
        shown = found.get(key, _MISSING)
        if key in wanted:
            if not _same(wanted[key], shown):
                yield f"runtime {name}: {key} is {_show(shown)} instead of {_show(wanted[key])}"
        elif shown not in _EMPTY:
            yield f"runtime {name}: {key} is {_show(shown)}, which nobody asked for"


def _leftovers(after: Mapping[str, Any], gone: Collection[str]) -> Iterator[str]:
    effective = dialect.effective(after).get("runtimes", {})
    for name in sorted(gone):
        if name in effective:
            yield f"runtime {name} is still in effect"


def _taken(before: Mapping[str, Any], new: Collection[str]) -> Iterator[str]:
    effective = dialect.effective(before).get("runtimes", {})
    for name in sorted(new):
        if name in effective:
            yield f"runtime {name} was there before and is not ours"


def _without(dump: Mapping[str, Any], ours: Collection[str]) -> Mapping[str, Any]:
    """Leave out our runtimes, and `imports`: which files there are is not what they mean."""
    plugins = {
        name: _without_runtimes(plugin, ours) if name in {dialect.CRI_1, dialect.CRI_2} else plugin
        for name, plugin in dump.get("plugins", {}).items()
    }
    rest = {key: item for key, item in dump.items() if key not in {"imports", "plugins"}}
    return {**rest, "plugins": plugins}


def _without_runtimes(plugin: Mapping[str, Any], ours: Collection[str]) -> Mapping[str, Any]:
    if "containerd" not in plugin:
        return plugin
    containerd = dict(plugin["containerd"])
    # No runtimes at all and an empty table are the same, and print differently.
    found = containerd.pop("runtimes", {})
    containerd["runtimes"] = {n: _plain(table) for n, table in found.items() if n not in ours}
    return {**plugin, "containerd": containerd}


def _plain(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out runc's options that are zero: its typed options make no difference to unset ones.

    containerd prints them for its built-in runc only, and which ones changes with the release.
    """
    if table.get("runtime_type") != dialect.RUNC:
        return table
    options = toml.table(table, "options")
    return {**table, "options": {key: item for key, item in options.items() if item}}


def _compare(path: tuple[str, ...], before: object, after: object) -> Iterator[str]:
    if toml.is_table(before) and toml.is_table(after):
        for key in sorted({*before, *after}):
            yield from _compare((*path, key), before.get(key, _MISSING), after.get(key, _MISSING))
    elif not _same(before, after):
        where = ".".join(toml.key(part) for part in path)
        yield f"{where}: {_show(before)} becomes {_show(after)}"


def _same(one: object, other: object) -> bool:
    """Compare values with their types: `1` is not `true`."""
    if toml.is_table(one) and toml.is_table(other):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if toml.is_list(one) and toml.is_list(other):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and one == other


def _show(item: Any) -> str:
    if item is _MISSING:
        return "nothing"
    return errors.clip(json.dumps(item, ensure_ascii=False, default=str))
