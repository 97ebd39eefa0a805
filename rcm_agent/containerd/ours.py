"""What is ours in a file, and the file without it.

Called by `site`. The journal's memory comes first: a file that still holds exactly what we left
gets its original bytes back. Otherwise somebody changed it, and only our part goes: the marked
parts, and what the marks had held where a tool dropped the comments.
"""

from __future__ import annotations

from collections.abc import Sequence

from rcm_agent.containerd import block, inline, marks, model, patterns_edit, scan, toml

CREATED = (
    "# Created by runtime-class-manager, because there was no configuration here.\n"
    "version = {version}\n"
)


def created(release: tuple[int, int, int]) -> str:
    """Return the root file that we make where there is none."""
    return CREATED.format(version=3 if release >= (2, 0, 0) else 2)


def without(
    data: bytes, owned: model.Owned | None, *, globs: Sequence[str], mine: bool
) -> bytes | None:
    """Return a file's bytes as they are, or would be, without us; None where we made it.

    Args:
        data: the file now.
        owned: what the journal remembers of it.
        globs: the patterns that we add to `imports`.
        mine: whether it is at a path where only we create files.
    """
    if owned is not None and data == owned.ours:
        return owned.original
    text = toml.decode(data)
    rest = strip(text, globs=globs)
    if owned is not None:
        rest = _strip_unmarked(rest, owned)
    if rest == text:
        return data
    created_by_us = mine if owned is None else owned.original is None
    nothing = _is_created(rest) or (created_by_us and _is_blank(rest))
    return None if nothing else rest.encode()


def strip(text: str, *, globs: Sequence[str]) -> str:
    """Take our marked parts out of a text, the last one first, then our imports."""
    for _ in marks.find(text):
        text = _remove(text, marks.find(text)[-1], globs)
    return patterns_edit.remove(text, globs)


def _remove(text: str, mark: marks.Mark, globs: Sequence[str]) -> str:
    what = marks.what(text, mark)
    if names := inline.keys(what):
        return marks.cut(inline.remove(text, after=mark.end, names=names), mark)
    names = block.handlers(what)
    if _holds_only_ours(text, mark, names, globs):
        return marks.cut(text, mark)
    return _dissolve(text, mark, names, globs)


def _holds_only_ours(
    text: str, mark: marks.Mark, names: tuple[str, ...], globs: Sequence[str]
) -> bool:
    """Tell whether nobody wrote anything of their own between our marks."""
    document = scan.scan(text)
    inside = (mark.begin_comment[1], mark.end_comment[0])
    if any(inside[0] < start < inside[1] for start, _ in document.comments):
        return False
    return all(
        _is_ours(text, statement, mark, names=names, globs=globs)
        for statement in document.statements
        if statement.start < inside[1] and inside[0] < statement.end
    )


def _is_ours(
    text: str,
    statement: scan.Statement,
    mark: marks.Mark,
    *,
    names: tuple[str, ...],
    globs: Sequence[str],
) -> bool:
    """Tell whether what a statement has between our marks is ours."""
    if statement.path == ("imports",) and statement.value is not None:
        return all(element in globs for element in _elements(text, statement.value, mark))
    return block.is_of(statement.path, names)


def _elements(text: str, at: int, mark: marks.Mark) -> list[str]:
    return [
        toml.parse(b"v = " + text[item.value : item.end].encode())["v"]
        for item in scan.items(text, at).items
        if mark.start <= item.start < mark.end
    ]


def _dissolve(text: str, mark: marks.Mark, names: tuple[str, ...], globs: Sequence[str]) -> str:
    """Take out the comments and our statements; what others wrote between them stays."""
    start, stop = mark.begin_comment[1], scan.line_start(text, mark.end_comment[0])
    doomed = [
        statement
        for statement in scan.scan(text).statements
        if start <= statement.start
        and statement.end <= stop
        and _is_ours(text, statement, mark, names=names, globs=globs)
    ]
    text = _cut_comment(text, mark.end_comment)
    return _cut_comment(scan.without(text, doomed), mark.begin_comment)


def _cut_comment(text: str, comment: tuple[int, int]) -> str:
    start = scan.line_start(text, comment[0])
    if text[start : comment[0]].strip(" \t"):
        return text[: comment[0]].rstrip(" \t") + text[comment[1] :]
    end = text.find("\n", comment[1]) + 1
    return text[:start] + (text[end:] if end else "")


def _strip_unmarked(text: str, owned: model.Owned) -> str:
    """Take out runtimes that are ours by the journal and stand there without their marks."""
    left = toml.parse(owned.ours).get("plugins", {})
    found = toml.parse(text.encode()).get("plugins", {})
    had = toml.parse(owned.original).get("plugins", {})
    for plugin in left:
        where = (plugin, "containerd", "runtimes")
        names = tuple(
            name
            for name, table in toml.table(left, *where).items()
            if name not in toml.table(had, *where) and toml.table(found, *where).get(name) == table
        )
        text = block.remove_statements(text, names) if names else text
    return text


def _is_created(text: str) -> bool:
    """Tell whether this is a root that we made, and nobody else wrote to."""
    return text in {CREATED.format(version=2), CREATED.format(version=3)}


def _is_blank(text: str) -> bool:
    return not text.removeprefix(scan.BOM).strip()
