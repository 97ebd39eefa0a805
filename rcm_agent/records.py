"""What the agent remembers: installed shims, files it changed, and the operation under way.

Data only. `journal` writes it down, `plan` makes it, `transaction` carries it out.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from rcm_agent import settings
from rcm_agent.containerd import model


class Step(enum.StrEnum):
    """The steps of an operation, in the order in which they happen.

    The journal names the step that is about to be taken. Each may be repeated, and may be cut at
    any point: `plan.recovery` says what follows.
    """

    PREPARE = "prepare"
    """Saved bytes are in the backup directory; the host is untouched."""
    ATTACH = "attach"
    """The configuration also reads /run/rcm; its effect is the same as before, so that nothing
    needs to be guarded yet, and the switch knows one state of the files to go back to."""
    ARM = "arm"
    """systemd puts everything back unless we take it back in time; nothing unproven is in use."""
    LINK = "link"
    """Stable paths point to the wanted binaries: new sandboxes of an installed Shim use them."""
    TRY = "try"
    """The new configuration is in place (in /run/rcm where it can be) and proven by a dump."""
    RESTART = "restart"
    VERIFY = "verify"
    PROVE = "prove"
    DISARM = "disarm"
    """From here on the new state counts: a killed run is finished, not undone."""
    COMMIT = "commit"
    """The final files are on disk; /run/rcm is empty again."""
    CLEAN = "clean"
    """Stable paths and store entries that nothing uses any more are gone."""


ORDER = tuple(Step)


@dataclass(frozen=True, slots=True)
class Installed:
    """A shim of this host."""

    name: str
    handler: str
    wanted: str
    """Digest of what the manifest asks for (`rcm_api.shim.digest`)."""
    location: str
    """Where the artifact came from, without a query."""
    artifact: str
    """SHA-256 of the artifact: its directory in the store."""
    binary: str
    """SHA-256 of the shim itself."""
    path: str
    """Of the shim in the store."""
    member: str | None = None
    """Of the archive, as the manifest names it; None: the obvious one."""
    options: Mapping[str, bool | int | str] = field(default_factory=dict[str, bool | int | str])
    """As written to containerd."""
    version: str = ""
    """What the shim says of itself."""
    proven: str = ""
    """`proven`, or why not."""

    @property
    def runtime(self) -> model.Runtime:
        """What containerd's configuration shall say.

        A path as the type, and no `runtime_path` beside it: containerd 1.6 does not look at that
        one when it starts a sandbox (seen on 1.6.20: "binary not installed").
        """
        return model.Runtime(
            handler=self.handler,
            runtime_type=settings.link(self.handler),
            options=self.options,
        )


@dataclass(frozen=True, slots=True)
class OwnedFile:
    """A configuration file that we changed or made; contents by SHA-256 in the backup directory."""

    path: str
    original: str
    """Empty: the file was not there."""
    ours: str


@dataclass(frozen=True, slots=True)
class Generation:
    """One good state of the host."""

    shims: tuple[Installed, ...] = ()
    owned: tuple[OwnedFile, ...] = ()
    strategy: str = ""
    tree: str = ""
    """Fingerprint of every configuration file when this state was proven."""
    containerd: str = ""
    """containerd's version when this state was proven."""

    @property
    def runtimes(self) -> tuple[model.Runtime, ...]:
        """What containerd's configuration shall say, by handler."""
        return tuple(s.runtime for s in sorted(self.shims, key=lambda s: s.handler))

    @property
    def handlers(self) -> frozenset[str]:
        """The handlers that are ours."""
        return frozenset(s.handler for s in self.shims)


@dataclass(frozen=True, slots=True)
class FileChange:
    """One configuration file in the four states of an operation, by SHA-256; empty: no file."""

    path: str
    before: str
    attached: str
    trial: str
    final: str


@dataclass(frozen=True, slots=True)
class LinkChange:
    """One stable path; None: no link."""

    path: str
    before: str | None
    after: str | None

    @property
    def swaps(self) -> bool:
        """Whether a path that may be in use is pointed elsewhere, as an upgrade does."""
        return self.before is not None and self.after is not None


@dataclass(frozen=True, slots=True)
class Operation:
    """Everything needed to finish or undo one change of the host."""

    step: Step
    steps: tuple[Step, ...]
    """The ones this operation takes."""
    boot_id: str
    started_us: int
    """When containerd had been started, as we began (see `ports.Unit.started_us`)."""
    handlers: tuple[str, ...]
    """What CRI had loaded as we began."""
    network_ready: bool
    files: tuple[FileChange, ...]
    links: tuple[LinkChange, ...]
    prove: tuple[str, ...]
    """Handlers to prove."""
    after: Generation
    sandbox_image: str = ""
    """What containerd is configured to prove them with; no operation changes it."""


@dataclass(frozen=True, slots=True)
class Journal:
    """The whole memory of the agent on this host."""

    current: Generation = Generation()
    operation: Operation | None = None
