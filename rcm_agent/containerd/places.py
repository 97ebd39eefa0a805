"""Paths that belong to us, given where the root file is.

`/run/rcm` is a tmpfs: what is tried there is gone after a power cut.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

RUN_GLOB = "/run/rcm/*.toml"
RUN_FILE = "/run/rcm/rcm.toml"
NAME = "rcm.toml"


@dataclass(frozen=True, slots=True)
class Places:
    """Our paths beside one root file."""

    root: str

    def _beside(self, *parts: str) -> str:
        return posixpath.join(posixpath.dirname(self.root), *parts)

    @property
    def drop_in(self) -> str:
        """Our own directory, imported by a line of ours in the root."""
        return self._beside("rcm.d", NAME)

    @property
    def drop_in_glob(self) -> str:
        """What imports it."""
        return self._beside("rcm.d", "*.toml")

    @property
    def conf_d(self) -> str:
        """In the directory that many root files import, as containerd 2.2 generates them."""
        return self._beside("conf.d", NAME)

    @property
    def globs(self) -> tuple[str, ...]:
        """Every pattern that we ever write to an `imports`; the trial's comes last and wins."""
        return (self.drop_in_glob, RUN_GLOB)

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that we may create, the root apart."""
        return (self.drop_in, self.conf_d, RUN_FILE)
