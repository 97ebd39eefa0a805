"""What cannot be done safely on this host, told before anything is tried.

Called by `propose`; only for installing: taking our part away is always possible.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rcm_agent import errors
from rcm_agent.containerd import block, dialect, in_place, site


def check(here: site.Site, *, wanted: block.Tables, dump: Mapping[str, Any]) -> None:
    """Look at each reason in turn.

    Raises:
        ConfigRefused: the first reason that holds.
    """
    cri_is_off(here.places.root, dump, _disabled_in_files(here))
    _is_the_default(wanted, dump)
    _exists_already(here, wanted, dump)


def cri_is_off(root: str, dump: Mapping[str, Any], also: frozenset[str] = frozenset()) -> None:
    """Look whether the configuration at `root`, or `also`, turns CRI off.

    Raises:
        ConfigRefused: it does.
    """
    found = sorted({*dump.get("disabled_plugins", ()), *also} & dialect.CRI_OFF)
    if found:
        raise errors.ConfigRefused(
            f"{root} disables containerd's CRI plugin (disabled_plugins has {found[0]})",
            advice="take it out of disabled_plugins and restart containerd: Docker's packages "
            "ship it so, and no kubelet can use this containerd as it is",
        )


def _disabled_in_files(here: site.Site) -> frozenset[str]:
    return frozenset(
        plugin
        for _, data in here.base_files()
        for plugin in data.get("disabled_plugins", ())
        if isinstance(plugin, str)
    )


def _is_the_default(wanted: block.Tables, dump: Mapping[str, Any]) -> None:
    default = dialect.effective(dump).get("default_runtime_name")
    if default in wanted:
        raise errors.ConfigRefused(
            f"the runtime {default!r} is this host's default_runtime_name",
            advice="choose another handler: every pod without a RuntimeClass runs on the default",
        )


def _exists_already(here: site.Site, wanted: block.Tables, dump: Mapping[str, Any]) -> None:
    effective = dialect.effective(dump).get("runtimes", {})
    ours = {name for name in here.our_tables() if name not in in_place.BUILT_IN}
    for name in wanted:
        if name in effective and name not in ours:
            raise errors.HandlerTaken(
                f"containerd has a runtime {name!r} already, and it is not ours"
                + _where(here, name),
                advice="choose another handler, or take that table out and restart containerd",
            )


def _where(here: site.Site, name: str) -> str:
    for path, data in here.base_files():
        if name in dialect.all_runtimes(data):
            return f" (in {path})"
    return ""
