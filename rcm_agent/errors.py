"""Everything that the agent refuses or fails at, one tree.

    AgentError                      one line of cause, one line of advice, an exit code
    ├── ManifestError               the Shim itself is wrong
    ├── UnsupportedHost             this host cannot be served
    ├── ConfigRefused               containerd's configuration cannot be changed safely
    │   └── HandlerTaken            the handler is there already, and not ours
    ├── ShimBroken                  the binary does not run on this host
    ├── Blocked                     a restart would end running containers
    ├── FetchError                  the artifact could not be had, or is not what was promised
    │   └── DigestMismatch          its bytes are others than the Shim names
    ├── HostError                   a file, systemd or containerd did not do what was asked
    │   ├── UnitError               systemd said no
    │   ├── CriError                containerd's gRPC said no
    │   └── Conflict                somebody else changed the file meanwhile
    ├── RolledBack                  a change failed and the host is on its former state
    ├── Degraded                    a change failed and the host could not be put back
    ├── Busy                        another agent holds the lock
    └── BudgetSpent                 too many restarts of containerd in too short a time

A subclass exists where somebody catches it, or where a user's script must tell it apart by the
exit code. Text that came from outside is cut by `clip` before it goes into a message.
"""

from __future__ import annotations

CLIP_CHARS = 256
"""Longest piece of foreign text in a message; a guess that fits a terminal's three lines."""


def clip(text: str) -> str:
    """Return `text` on one line, cut to `CLIP_CHARS`."""
    line = " ".join(text.split())
    return line if len(line) <= CLIP_CHARS else line[: CLIP_CHARS - 1] + "…"


class AgentError(Exception):
    """A failure told to a person.

    Attributes:
        cause: what was tried, on what, and what happened; one line.
        advice: what to do about it; one line.
        exit_code: of the command line; every class has its own where a script cares.
    """

    exit_code = 1

    def __init__(self, cause: str, *, advice: str = "") -> None:
        """Keep both lines; `str()` is the cause."""
        super().__init__(cause)
        self.cause = cause
        self.advice = advice


class ManifestError(AgentError):
    """The Shim manifest is wrong."""

    exit_code = 2


class UnsupportedHost(AgentError):  # noqa: N818 - reads as what it is
    """This host cannot be served."""

    exit_code = 3


class ConfigRefused(AgentError):  # noqa: N818
    """containerd's configuration cannot be changed without changing more than ours."""

    exit_code = 4


class HandlerTaken(ConfigRefused):
    """containerd has a runtime of that name which is not ours."""


class FetchError(AgentError):
    """The artifact could not be had, or is not what was promised."""

    exit_code = 5


class DigestMismatch(FetchError):  # noqa: N818
    """The bytes are others than those that were asked for."""


class ShimBroken(AgentError):  # noqa: N818
    """The binary does not run on this host; nothing was configured."""

    exit_code = 11


class Blocked(AgentError):  # noqa: N818
    """A restart of containerd would end running containers."""

    exit_code = 6


class RolledBack(AgentError):  # noqa: N818
    """A change failed; the host is back on its former state."""

    exit_code = 7


class Degraded(AgentError):  # noqa: N818
    """A change failed and the former state could not be restored or verified."""

    exit_code = 8


class Busy(AgentError):  # noqa: N818
    """Another agent holds the lock of this host."""

    exit_code = 9


class BudgetSpent(AgentError):  # noqa: N818
    """containerd was restarted too often in too short a time."""

    exit_code = 10


class HostError(AgentError):
    """A file, systemd or containerd did not do what was asked."""


class UnitError(HostError):
    """systemd refused, or a unit's job failed."""


class CriError(HostError):
    """A gRPC call to containerd failed.

    Attributes:
        code: name of the gRPC status, for example `UNAVAILABLE`.
    """

    def __init__(self, cause: str, *, code: str, advice: str = "") -> None:
        """Keep the status beside the two lines."""
        super().__init__(cause, advice=advice)
        self.code = code


class Conflict(HostError):  # noqa: N818
    """Somebody else changed the file between our look and our write."""
