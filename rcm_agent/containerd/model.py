"""The records that the engine takes and gives.

Made by `run` (runtimes, owned) and `host.config_files` (trees); edits come from `propose`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rcm_agent import ports

Value = bool | int | str
"""What an option of a runtime may be."""

NO_OPTIONS: Mapping[str, Value] = {}


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime as it stands in containerd's configuration."""

    handler: str
    """The key of its table, and what a RuntimeClass names."""
    runtime_type: str
    """Absolute path of the shim: every release takes one instead of a name that it looks up."""
    options: Mapping[str, Value] = field(default_factory=lambda: NO_OPTIONS)
    """Empty: no options table at all (an empty one breaks shims built on runwasi)."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it is now."""

    path: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Tree:
    """containerd's configuration as it is on disk: what it loads, and what lies beside."""

    root_path: str
    root: bytes | None
    """None: there is no file, containerd runs on its defaults."""
    imports: tuple[Source, ...] = ()
    """In the order in which containerd merges them over the root."""
    unused: tuple[Source, ...] = ()
    """Files at places of ours which nothing imports today."""


@dataclass(frozen=True, slots=True)
class Owned:
    """A file that we changed or created earlier, as the journal remembers it."""

    path: str
    original: bytes | None
    """What it would be without us, as of our last write (`propose` of no runtimes tells); None:
    there would be no file. Not what it was before our first write: others may have changed it
    since, and that must survive."""
    ours: bytes
    """What we left there."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A way to the wanted configuration, in three states of the files.

    Each state names only the paths that differ from today's.
    """

    strategy: str
    """`drop-in`, `conf.d`, `in-place`, `removal` or `unchanged`."""
    evidence: tuple[str, ...]
    """Why this strategy; one sentence each, for people."""
    attached: ports.Files
    """Written first: changes nothing effectively, but makes containerd look into `/run/rcm`."""
    trial: ports.Files
    """What is verified. It lives in /run as far as possible, so that a power cut undoes it."""
    final: ports.Files
    """What stays. Its effective configuration is the trial's."""
