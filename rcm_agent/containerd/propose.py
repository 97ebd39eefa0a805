"""Candidate edits of containerd's configuration, the best first.

Called by `plan`, which has the host's own containerd judge each of them and takes the first that
is proven. Pure: what is on disk comes as a tree, what is effective as a parsed `config dump`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rcm_agent.containerd import (
    block,
    dialect,
    drop_in,
    in_place,
    model,
    places,
    refusals,
    site,
)


def propose(
    *,
    tree: model.Tree,
    release: dialect.Release,
    runtimes: tuple[model.Runtime, ...],
    owned: tuple[model.Owned, ...],
    dump: Mapping[str, Any],
) -> tuple[model.Edit, ...]:
    """Return ways to have exactly `runtimes` as ours, in order of preference.

    Args:
        tree: what is on disk.
        release: of the containerd that reads it.
        runtimes: all that we want on this host; none: leave it as if we had never been here.
        owned: the files that we changed earlier.
        dump: `config dump` of today, parsed.

    Raises:
        ConfigRefused: it cannot be done, and why.
    """
    here = site.look(tree, release=release, owned=owned)
    wanted = block.tables(runtimes)
    if not wanted:
        return (_removal(here),)
    refusals.check(here, wanted=wanted, dump=dump)
    unchanged = (_UNCHANGED,) if _is_so(here, wanted) else ()
    if dialect.merges_deeply(release):
        return (*unchanged, *drop_in.edits(here, wanted))
    return (*unchanged, *in_place.edits(here, wanted, dump))


_UNCHANGED = model.Edit(
    strategy="unchanged",
    evidence=("the files hold exactly these runtimes already",),
    attached={},
    trial={},
    final={},
)


def _is_so(here: site.Site, wanted: block.Tables) -> bool:
    """Tell whether nothing needs to be written; whether it is effective is the judge's to say."""
    tables = here.our_tables()
    added = {name for name in tables if name not in wanted}
    return (
        all(tables.get(name) == table for name, table in wanted.items())
        and added <= in_place.BUILT_IN
        and here.attached()
        and places.RUN_FILE not in here.today
    )


def _removal(here: site.Site) -> model.Edit:
    final = dict(here.base)
    attached: dict[str, bytes | None] = {}
    trial: dict[str, bytes | None] = final
    if here.attached() and not dialect.merges_deeply(here.release):
        trial = {places.RUN_FILE: _trial_without_us(here)}
    return model.Edit(
        strategy="removal",
        evidence=_evidence(here, final),
        attached=attached,
        trial=here.differing(trial),
        final=here.differing(final),
    )


def _trial_without_us(here: site.Site) -> bytes:
    plugin = dialect.plugin_in_place(data for _, data in here.base_files())
    return in_place.trial_file(here.bare(in_place.definer(here, plugin)), plugin)


def _evidence(here: site.Site, final: Mapping[str, bytes | None]) -> tuple[str, ...]:
    told: list[str] = []
    for path, data in here.differing(final).items():
        told.append(f"{path} is ours alone and goes" if data is None else f"{path} loses our part")
    return tuple(told) or ("no file has anything of ours",)
