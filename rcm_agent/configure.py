"""Chooses the edit of containerd's configuration that a wanted generation needs.

Called by `apply` and `remove`. Reads files and asks `config dump`; writes nothing but scratch
copies in /run/rcm.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from rcm_agent import check, plan, ports, records
from rcm_agent.containerd import cgroup, model, propose
from rcm_agent.distro import site
from rcm_agent.host import files
from rcm_agent.work import Work


@dataclass(frozen=True, slots=True)
class Before:
    """The configuration as it is."""

    tree: model.Tree
    dump: check.Dump
    release: tuple[int, int, int]
    version: str

    @property
    def systemd_cgroup(self) -> bool | None:
        """What the node's runc uses."""
        return cgroup.systemd_cgroup(self.dump, self.release)


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the files shall become."""

    edit: model.Edit
    files: tuple[records.FileChange, ...]
    contents: tuple[bytes, ...]
    """Everything that the transaction may have to write."""
    owned: tuple[records.OwnedFile, ...]
    today: ports.Files


def look(work: Work, version: str, dump: check.Dump) -> Before:
    """Read the files whose effective configuration is `dump`."""
    tree = work.tree(version)
    return Before(tree=tree, dump=dump, release=site.release(version), version=version)


def look_again(work: Work, before: Before) -> Before:
    """Return `before`, or what is there now if somebody edited a file in the meantime."""
    if work.tree(before.version) == before.tree:
        return before
    return look(work, before.version, check.Check(work.host, work.site).real())


def choose(work: Work, before: Before, after: records.Generation) -> Configuration:
    """Return the edit that the binary agreed to.

    Raises:
        ConfigRefused: there is none.
    """
    owned = work.owned(work.current.owned)
    edits = propose.propose(
        tree=before.tree,
        release=before.release,
        runtimes=after.runtimes,
        owned=owned,
        dump=before.dump,
    )
    edit = check.choose(
        check.Check(work.host, work.site),
        tree=before.tree,
        edits=edits,
        before=before.dump,
        current=work.current.runtimes,
        wanted=after.runtimes,
    )
    return _configuration(work, before, edit, owned)


def _configuration(
    work: Work, before: Before, edit: model.Edit, owned: tuple[model.Owned, ...]
) -> Configuration:
    paths = {*edit.attached, *edit.trial, *edit.final}
    # What the edit was made from: a file that changed since must be a conflict, not overwritten.
    seen = _contents(before.tree)
    today = {p: seen[p] if p in seen else files.read(work.host.kernel, p) for p in sorted(paths)}
    states = (today, edit.attached, edit.trial, edit.final)
    bare = _without_ours(before, owned)
    originals = {p: bare.get(p, today.get(p)) for p in edit.final}
    kept = [o for o in work.current.owned if o.path not in edit.final]
    changed = [
        records.OwnedFile(path, files.digest(originals[path]), files.digest(data))
        for path, data in edit.final.items()
        if data is not None and data != originals[path]
    ]
    contents = [data for state in (*states, originals) for data in state.values()]
    return Configuration(
        edit=edit,
        files=plan.file_changes(edit, today),
        contents=tuple(data for data in contents if data is not None),
        owned=tuple(sorted((*kept, *changed), key=lambda o: o.path)),
        today=today,
    )


def _contents(tree: model.Tree) -> ports.Files:
    sources = (*tree.imports, *tree.unused)
    return {tree.root_path: tree.root} | {source.path: source.data for source in sources}


def _without_ours(before: Before, owned: tuple[model.Owned, ...]) -> ports.Files:
    """What each file would be without our part: the original, or what others made of it."""
    edits = propose.propose(
        tree=before.tree, release=before.release, runtimes=(), owned=owned, dump=before.dump
    )
    return edits[0].final if edits else {}


def generation(
    shims: tuple[records.Installed, ...], *, before: Before, found: Configuration, former: str
) -> records.Generation:
    """Return the generation that the edit leads to.

    Args:
        shims: What is installed then.
        before: The configuration as it is.
        found: The edit.
        former: The strategy that the configuration was last edited by; empty if never.
    """
    return records.Generation(
        shims=tuple(sorted(shims, key=lambda s: s.name)),
        owned=found.owned,
        strategy=found.edit.strategy if found.files else former or found.edit.strategy,
        tree="",
        containerd=before.version,
    )


def with_shims(
    current: records.Generation, shims: tuple[records.Installed, ...]
) -> records.Generation:
    """Return `current` with other shims, before the edit is known."""
    return dataclasses.replace(current, shims=tuple(sorted(shims, key=lambda s: s.name)))
