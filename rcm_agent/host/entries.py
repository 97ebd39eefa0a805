"""What an entry of the store looks like on disk, and reading it back.

Called by `store`. An entry is a directory named after the artifact's SHA-256 with the programs
taken from it and `meta.json`, which is written last: without it, the entry does not count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rcm_agent import ports
from rcm_agent.host import files

STORE = "/opt/rcm/store"
ROOT = STORE + "/sha256"
META = "meta.json"

_VERSION = 1
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
"""Of a program in the store: safe in a path, a shell and an error line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program of an artifact."""

    name: str
    """Of the file in the entry's directory."""
    member: str
    """In the archive; empty when the artifact is the program itself."""
    chosen: bool
    """Whether it was taken because no `binary` was given."""
    sha256: str
    size: int
    machine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """What `meta.json` says."""

    location: str
    """Where the artifact came from, without the query."""
    size: int
    """Of the artifact."""
    programs: tuple[Program, ...]

    def find(self, *, binary: str | None, machine: str | None) -> Program | None:
        """Return the program that a source with this `binary` means.

        Without `machine` nobody asks for a source: a lone program is meant then.
        """
        if machine is None and binary is None and len(self.programs) == 1:
            return self.programs[0]
        fit = (one for one in self.programs if machine in {None, one.machine})
        return next((one for one in fit if _means(one, binary)), None)


def is_digest(text: str) -> bool:
    """Tell whether this is a SHA-256 as we write it."""
    return _DIGEST.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Tell whether a program may be called so in the store."""
    return _NAME.fullmatch(text) is not None and text != META and files.TEMPORARY not in text


def is_member(text: str) -> bool:
    """Tell whether `binary` of a Shim may be this: relative, inside, ending in a plain name."""
    parts = text.split("/")
    inside = not text.startswith("/") and ".." not in parts and text.isprintable()
    return inside and is_name(parts[-1])


def normal_member(text: str) -> str:
    """Return a member's path without `./` and doubled slashes, as `tar.Member` has it."""
    return "/".join(part for part in text.split("/") if part not in {"", "."})


def directory(digest: str) -> str:
    """Return where an artifact's entry is."""
    return f"{ROOT}/{digest}"


def read_meta(kernel: ports.Kernel, digest: str) -> Meta | None:
    """Return what the entry says of itself; None when it says nothing that can be used."""
    try:
        return _parse(json.loads(kernel.read(f"{directory(digest)}/{META}")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def format_meta(meta: Meta) -> bytes:
    """Return the bytes of `meta.json`."""
    return (json.dumps({"version": _VERSION, **asdict(meta)}, indent=1) + "\n").encode()


def _means(program: Program, binary: str | None) -> bool:
    if not program.member:
        return True
    if binary is None:
        return program.chosen
    return program.member == normal_member(binary)


def _parse(found: Mapping[str, Any]) -> Meta:
    """Raise KeyError, TypeError or ValueError for what we did not write."""
    if found["version"] != _VERSION:
        raise ValueError(found["version"])
    programs = tuple(Program(**row) for row in found["programs"])
    if not all(is_name(program.name) and is_digest(program.sha256) for program in programs):
        raise ValueError(programs)
    return Meta(location=str(found["location"]), size=int(found["size"]), programs=programs)
