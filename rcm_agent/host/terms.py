"""The terms of a fetch: what to get, within which limits, by whose clock.

Records only. Callers of `store.ensure` fill them in; `download` and `archive` keep to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

MIB = 1024 * 1024

Machine = Literal["amd64", "arm64"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What one platform of a Shim says."""

    location: str
    """https://, http:// (only with sha256) or file:// (a path on the host itself)."""
    sha256: str | None = None
    """64 lower-case hex digits of the artifact as downloaded; None: nobody has said."""
    binary: str | None = None
    """Member of the archive; None: chosen by `archive.choose`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a fetch may cost and where it may go. Proxy variables and ~/.netrc are not read.

    A proxy would resolve the host by itself, and so undo the check of its addresses; a closed
    network names a mirror instead.
    """

    max_bytes: int = 256 * MIB
    """Of the artifact. The largest shim published in 2026 has about 60 MB; a guess of four times."""
    max_unpacked_bytes: int = 512 * MIB
    """Of everything in the archive. A guess: shims pack 3:1 to 4:1, and archives hold one."""
    max_entries: int = 10_000
    """Headers in the archive. A guess; the published ones have one to three."""
    deadline_s: float = 900.0
    """For all of it, retries included. A guess: 100 MB at 1 Mbit/s."""
    stall_s: float = 30.0
    """Longest time with less than `limits.MIN_BYTES_PER_S`. As Docker's and pip's, about."""
    connect_s: float = 10.0
    """For one address, TLS included. The default of curl's retry guides; a guess."""
    max_redirects: int = 5
    """GitHub's release assets need one, mirrors in front of it two."""
    attempts: int = 5
    """In a row without a byte of progress, per source. With `retries.pause_s` about 15 s."""
    allow_private: bool = False
    """Also loopback, link-local and private addresses. For tests and closed networks."""
    ca_file: str | None = None
    """Certificates trusted beside the system's; a path of the agent's own file system."""
    mirrors: tuple[tuple[str, str], ...] = ()
    """(prefix, replacement): locations that begin with the prefix are tried there first.

    The administrator named that host, so it may have a private address.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Where time and chance come from."""

    clock: Callable[[], float]
    """Seconds that never jump: `ports.Machine.uptime_s`."""
    wait: Callable[[float], None]
    """Lets seconds pass: `ports.Machine.wait`."""
    jitter: Callable[[], float]
    """Between 0 and 1: `random.Random().random`."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is."""

    done_bytes: int
    total_bytes: int | None
    """None when the server does not say."""
