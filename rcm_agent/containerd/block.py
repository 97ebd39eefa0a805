"""Runtime tables as a marked part of a file, and whether that is possible.

New tables go to the end of the file, whatever spelling the file has: TOML allows a header below
tables that were made by headers or dotted keys. It does not below an inline table; there the
runtimes become entries of that table (`inline`).
"""

from __future__ import annotations

from collections.abc import Mapping

from rcm_agent.containerd import inline, marks, model, scan, toml

Tables = Mapping[str, toml.Table]
"""Runtime tables by handler."""

WHAT = "runtimes"


def table(runtime: model.Runtime) -> toml.Table:
    """Return a runtime's table as containerd reads it."""
    found: toml.Table = {"runtime_type": runtime.runtime_type}
    return {**found, "options": dict(runtime.options)} if runtime.options else found


def tables(runtimes: tuple[model.Runtime, ...]) -> Tables:
    """Return the tables of all, in the order of their handlers."""
    return {r.handler: table(r) for r in sorted(runtimes, key=lambda r: r.handler)}


def path(plugin: str) -> tuple[str, ...]:
    """Return where a plugin keeps its runtimes."""
    return ("plugins", plugin, "containerd", "runtimes")


def add(text: str, plugin: str, wanted: Tables) -> str:
    """Put the tables into a file that has none of them."""
    if not wanted:
        return text
    host = inline.find(text, path(plugin))
    if host is not None:
        return inline.add(text, host, wanted)
    newline = toml.newline(text)
    lines = [line for name in wanted for line in toml.tables((*path(plugin), name), wanted[name])]
    part = marks.compose(f"{WHAT} {', '.join(wanted)}", lines, newline=newline)
    return marks.append(text, part, at=len(text), newline=newline)


def handlers(what: str) -> tuple[str, ...]:
    """Return the handlers that a marked part says it brings."""
    kind, _, names = what.partition(" ")
    return tuple(names.split(", ")) if kind == WHAT else ()


def remove_statements(text: str, names: tuple[str, ...]) -> str:
    """Take the statements of these runtimes out; comments and others stay."""
    found = scan.scan(text).statements
    return scan.without(text, [one for one in found if is_of(one.path, names)])


def is_of(statement: tuple[str, ...], names: tuple[str, ...]) -> bool:
    """Tell whether a path lies in the table of one of these runtimes."""
    depth = len(path(""))
    return (
        len(statement) > depth
        and statement[0] == "plugins"
        and statement[2:depth] == path("")[2:]
        and statement[depth] in names
    )
