"""How a release of containerd reads its files: plugin ids, versions, and what merging does.

containerd 1.x replaces whole plugin tables when it merges an import; 2.x merges them deeply.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rcm_agent.containerd import block, toml

Release = tuple[int, int, int]

CRI_1 = "io.containerd.grpc.v1.cri"
"""Where containerd 1.x has its CRI settings; files of version 2 keep it on 2.x."""
CRI_2 = "io.containerd.cri.v1.runtime"
"""Where 2.x has the runtimes."""
CRI_IMAGES = "io.containerd.cri.v1.images"
"""Where 2.x has the images, among them the sandbox's."""
CRI_OLD = "cri"
"""The name in files without `version`."""

RUNC = "io.containerd.runc.v2"
"""The runtime type of runc, and of what stands in for it (crun, nvidia)."""

CRI_OFF = frozenset({CRI_1, CRI_2, CRI_OLD, CRI_IMAGES})
"""Any of these in `disabled_plugins` ends CRI. Docker's packages ship `["cri"]`."""


def merges_deeply(release: Release) -> bool:
    """Tell whether a drop-in adds to the root's tables instead of replacing them."""
    return release >= (2, 0, 0)


def takes_options(release: Release) -> bool:
    """Tell whether options reach a shim: 1.6 drops them, and runwasi's shims then fail."""
    return release >= (1, 7, 0)


def effective(dump: Mapping[str, Any]) -> toml.Table:
    """Return the `containerd` table of CRI as `config dump` prints it."""
    plugins = dump.get("plugins", {})
    for plugin in (CRI_2, CRI_1):
        found = toml.table(plugins, plugin, "containerd")
        if found:
            return found
    return {}


def sandbox_image(dump: Mapping[str, Any]) -> str:
    """Return the pause image that `config dump` names; empty when it names none."""
    plugins = dump.get("plugins", {})
    pinned = toml.table(plugins, CRI_IMAGES, "pinned_images").get("sandbox", "")
    return str(pinned or toml.table(plugins, CRI_1).get("sandbox_image", ""))


def plugins_for_drop_in(files: Iterable[toml.Table], root: toml.Table) -> tuple[str, str]:
    """Return the plugin id to write runtimes under on 2.x, and the second choice.

    The id under which runtimes are defined already; with both, containerd's migration keeps the
    newer. A version 2 file without any is migrated from the older id.
    """
    defined = {plugin for data in files for plugin in (CRI_1, CRI_2) if runtimes(data, plugin)}
    if CRI_2 in defined:
        return CRI_2, CRI_1
    if CRI_1 in defined or root.get("version") == 2:  # noqa: PLR2004 - the version's name
        return CRI_1, CRI_2
    return CRI_2, CRI_1


def plugin_in_place(files: Iterable[toml.Table]) -> str:
    """Return the plugin id that containerd 1.x reads, given its files in load order."""
    versions = [data.get("version", 0) for data in files] or [2]  # the root that we would make
    effective_version = next((v for v in reversed(versions) if v), 1)
    return CRI_OLD if effective_version == 1 else CRI_1


def runtimes(data: toml.Table, plugin: str) -> toml.Table:
    """Return the runtime tables of one file."""
    return toml.table(data, *block.path(plugin))


def all_runtimes(data: toml.Table) -> Mapping[str, toml.Table]:
    """Return the runtime tables of one file under every id that CRI ever had."""
    return {
        name: table
        for plugin in (CRI_OLD, CRI_1, CRI_2)
        for name, table in runtimes(data, plugin).items()
    }
