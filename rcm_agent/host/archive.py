"""Taking one program out of an archive, and nothing else.

Called by `store` once the archive's digest was compared. No name in the archive ever becomes a
path: the caller says where the one member's bytes go. Links are never followed, whatever lies
beside the member is never written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from rcm_agent import errors
from rcm_agent.host import compression, entries, reading, tar, terms

SHIM_PREFIX = "containerd-shim-"
MAX_CANDIDATES = 64
"""Kept in memory while looking for the one. A guess."""
MAX_SHOWN = 8
"""Candidates named in an error; a guess that fits two lines."""
_ADVICE = "use the archive as its project publishes it, or name another one"


@dataclass(frozen=True, slots=True)
class Archive:
    """An open, checked file that `compression.sniff` took for an archive."""

    file: reading.File
    kind: compression.Format
    shown: str
    """What to call it in an error."""
    policy: terms.Policy


def choose(archive: Archive, *, binary: str | None) -> str:
    """Return the name of the member to take.

    That is `binary` when given, else the only executable file, else the only one that is called
    like a shim.

    Raises:
        FetchError: there is no such member, or more than one.
    """
    if binary is not None:
        return entries.normal_member(binary)
    found: list[tar.Member] = []
    for member, _ in _entries(archive):
        if member.kind == "file" and (member.executable or _is_shim(member)):
            found.append(member)
        if len(found) > MAX_CANDIDATES:
            break
    for some in ([m for m in found if m.executable], [m for m in found if _is_shim(m)]):
        if len(some) == 1:
            return some[0].name
    raise _no_choice(archive, tuple(member.name for member in found))


def extract(archive: Archive, name: str, *, write: Callable[[bytes], None]) -> None:
    """Write the content of the one regular member called `name`.

    Raises:
        FetchError: it is not there, there twice, not a regular file, or cut off.
    """
    seen: list[str] = []
    found = False
    for member, content in _entries(archive):
        if member.name != name:
            seen.extend([member.name] if member.kind == "file" and len(seen) <= MAX_SHOWN else [])
            continue
        if found:
            raise _refused(archive, f"it has {name!r} twice")
        if member.kind != "file":
            raise _refused(archive, f"{name!r} in it is a {member.kind}")
        _copy(archive, content, name, write=write)
        found = True
    if not found:
        raise errors.FetchError(
            f"{archive.shown} has no member {errors.clip(name)!r}; it has {_shown(tuple(seen))}",
            advice="correct `binary` in the Shim",
        )


def _entries(archive: Archive) -> Iterator[tuple[tar.Member, _Content]]:
    """Yield all entries to the archive's very end, so that its checksums were checked too."""
    with _told(archive):
        stream = compression.Unpacked(
            archive.file, archive.kind, max_bytes=archive.policy.max_unpacked_bytes
        )
        for member in tar.members(stream, max_entries=archive.policy.max_entries):
            if member.kind in {"device", "fifo"}:
                raise tar.BadTar(f"it holds a {member.kind}")
            if member.size > archive.policy.max_unpacked_bytes:
                raise tar.BadTar(f"it says it holds a file of {member.size} bytes")
            content = _Content(stream, member.size)
            yield member, content
            stream.skip(content.left + tar.padding(member.size))
        while stream.some(reading.CHUNK_BYTES):
            pass


class _Content:
    """What is left of the current entry."""

    def __init__(self, stream: compression.Unpacked, size: int) -> None:
        self._stream = stream
        self.left = size

    def some(self) -> bytes:
        data = self._stream.some(min(self.left, reading.CHUNK_BYTES)) if self.left else b""
        self.left -= len(data)
        return data


def _copy(
    archive: Archive, content: _Content, name: str, *, write: Callable[[bytes], None]
) -> None:
    with _told(archive):
        while data := content.some():
            write(data)
        if content.left:
            raise tar.BadTar(f"it ends within {name!r}")


@contextlib.contextmanager
def _told(archive: Archive) -> Generator[None]:
    try:
        yield
    except (tar.BadTar, compression.BadData) as error:
        raise _refused(archive, str(error)) from error


def _is_shim(member: tar.Member) -> bool:
    return member.name.rpartition("/")[2].startswith(SHIM_PREFIX)


def _shown(names: tuple[str, ...]) -> str:
    more = ", …" if len(names) > MAX_SHOWN else ""
    return errors.clip(", ".join(repr(name) for name in names[:MAX_SHOWN])) + more or "no file"


def _no_choice(archive: Archive, names: tuple[str, ...]) -> errors.FetchError:
    if not names:
        return errors.FetchError(
            f"{archive.shown} holds no executable file and none called {SHIM_PREFIX}*",
            advice="check the location, or name the member with `binary` in the Shim",
        )
    return errors.FetchError(
        f"{archive.shown} holds more than one program: {_shown(names)}",
        advice="name the right one with `binary` in the Shim",
    )


def _refused(archive: Archive, what: str) -> errors.FetchError:
    return errors.FetchError(f"{archive.shown}: {errors.clip(what)}", advice=_ADVICE)
