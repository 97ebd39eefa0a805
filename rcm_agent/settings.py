"""What a person may set, with units and the reason of each default, and our own paths.

Built by `cli` from flags and environment; read everywhere, changed nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass

HOME = "/opt/rcm"
"""Durable state on the host; shared with other installers, so we name each file below it."""
STORE = f"{HOME}/store"
BIN = f"{HOME}/bin"
BACKUP = f"{HOME}/backup"
JOURNAL = f"{HOME}/journal.json"

RUN = "/run/rcm"
"""State of this boot: tmpfs, so a power cut forgets it."""
LOCK = f"{RUN}/lock"
RESTARTS = f"{RUN}/restarts.json"
SCRATCH = f"{RUN}/check"
SWITCH = "rcm-switch"
"""Name of the dead man's switch, a transient systemd timer."""

SWITCH_DELAY_S = 60.0
"""From arming to firing. With a restart of containerd on top the host is healthy within the 90 s
that issue and design promise, and it is longer than `timeout_s` and `prove_timeout_s` together."""
RESTART_BUDGET = 3
RESTART_WINDOW_S = 600.0
"""At most so many restarts in so many seconds (design §4 step 5)."""
PROBE_TIMEOUT_S = 10.0
"""`<shim> -v` takes milliseconds; ten seconds allow for a node that pages from a slow disk."""
DUMP_TIMEOUT_S = 20.0
"""`containerd config dump` takes 25 ms; see PROBE_TIMEOUT_S."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One run of the agent."""

    root: str = "/"
    """Where the host's root directory is mounted."""
    config: str = ""
    """containerd's configuration; empty: as its unit says, else the distribution's."""
    socket: str = ""
    unit: str = ""
    timeout_s: float = 30.0
    """For containerd to come back after a restart. A healthy one needs 0.2 to 0.4 s."""
    prove_timeout_s: float = 15.0
    """For one sandbox to start; a healthy one needs 0.1 s."""
    prove: bool = True
    allow_disruption: bool = False
    """Whether running containers that a restart would end may be stopped first."""
    trust_on_first_use: bool = False
    allow_private: bool = False
    """Whether downloads may come from loopback, private and link-local addresses."""
    ca_file: str = ""
    mirrors: tuple[tuple[str, str], ...] = ()
    """Pairs of URL prefix and replacement, tried in order before the original."""


def link(handler: str) -> str:
    """Return the stable path that containerd's configuration names for a handler."""
    return f"{BIN}/containerd-shim-{handler}-v1"
