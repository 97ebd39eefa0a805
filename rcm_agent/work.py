"""What every command and every step works with: one host, its memory, the person's settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rcm_agent import look, plan, ports, records, settings
from rcm_agent.containerd import model
from rcm_agent.distro import site
from rcm_agent.host import config_files, files, memory, store
from rcm_agent.report import Reporter


@dataclass(frozen=True, slots=True)
class Work:
    """One run of the agent on one host."""

    host: ports.Host
    site: site.Site
    memory: memory.Memory
    chosen: settings.Settings
    tell: Reporter
    keep: frozenset[str] | None = frozenset()
    """Artifacts of the store that stay although nothing installed needs them; None: all."""
    pause: Callable[[float], None] | None = None
    """Lets seconds pass in a download; None: the machine's own wait."""

    @property
    def current(self) -> records.Generation:
        """The generation this host is on."""
        return self.memory.journal.current

    def observe(self, also: frozenset[str] = frozenset()) -> plan.Observed:
        """Look at containerd and at the stable paths of our handlers and `also`."""
        handlers = self.current.handlers | also
        return look.observe(self.host, unit=self.site.unit, handlers=handlers)

    def tree(self, version: str) -> model.Tree:
        """Read the configuration as the containerd of this version does.

        Raises:
            ConfigRefused: it cannot be read or understood.
        """
        return config_files.read_tree(
            self.host.kernel,
            self.site.config,
            release=site.release(version),
            also=[o.path for o in self.current.owned],
        )

    def owned(self, found: tuple[records.OwnedFile, ...]) -> tuple[model.Owned, ...]:
        """Return the records of our files with their contents."""
        return tuple(
            model.Owned(
                path=o.path,
                original=self.memory.content(o.original),
                ours=self.memory.content(o.ours) or b"",
            )
            for o in found
        )

    def put(self, path: str, *, expected: bytes | None, data: bytes | None) -> None:
        """Make a configuration file hold `data`; None: make it go away.

        Raises:
            Conflict: it holds neither `expected` nor `data`.
        """
        kernel = self.host.kernel
        if data is not None:
            files.make_directory(kernel, path.rpartition("/")[0])
            files.replace(kernel, path, data, expected=expected)
        else:
            files.remove_expected(kernel, path, expected=expected)

    def keep_artifacts(self, artifacts: frozenset[str]) -> None:
        """Drop every other artifact from the store, but for `keep`."""
        if self.keep is None:
            return
        kept = artifacts | self.keep
        for entry in store.list(self.host.kernel):
            if entry.digest not in kept:
                store.remove(self.host.kernel, entry.digest)
        if not kept:
            store.remove_rest(self.host.kernel)

    def remove_empty(self, operation: records.Operation) -> None:
        """Remove directories of ours that hold nothing any more."""
        parents = {change.path.rpartition("/")[0] for change in operation.files}
        for path in (*(p for p in parents if p.endswith("/rcm.d")), settings.BIN):
            files.remove_directory(self.host.kernel, path)

    def settle(self, operation: records.Operation) -> None:
        """Make durable what a run that was killed has left, before anything builds on it."""
        paths = [settings.JOURNAL, f"{settings.BACKUP}/any"]
        paths += [s.path for s in operation.after.shims] + [c.path for c in operation.links]
        paths += [self.host.kernel.realpath(f.path) for f in operation.files]
        files.settle(self.host.kernel, (p for p in paths if not p.startswith(settings.RUN)))

    def remove_temporary(self) -> None:
        """Remove half-written files of a killed run, while the journal still names them."""
        kernel, operation = self.host.kernel, self.memory.journal.operation
        changed: list[str] = []
        if operation is not None:
            changed = [f.path for f in operation.files] + [c.path for c in operation.links]
        for path in (settings.JOURNAL, settings.RESTARTS, *changed):
            files.remove_temporary(kernel, path)
        files.remove_tree(kernel, settings.SCRATCH)
