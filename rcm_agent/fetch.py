"""From a wanted Shim to a binary in the store that runs on this host.

Called by `apply`. Fetching and checking bytes is `host.store`'s; trust and the probe are here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Callable, Generator, Mapping

from rcm_agent import desired, errors, ports, records, settings
from rcm_agent.host import locations, partials, store, terms
from rcm_agent.work import Work

UNKNOWN = "(known after the download)"


@contextlib.contextmanager
def installing(work: Work, wanted: desired.Wanted) -> Generator[Callable[[], records.Installed]]:
    """Give what returns the Shim with its binary in the store, fetched if need be, and probed.

    What is in the store already is probed meanwhile; everything else waits until it is called.

    Raises:
        FetchError: the artifact could not be had, or is not what was promised.
        ShimBroken: the binary does not run on this host.
    """
    have = _current(work, wanted)
    if have is not None and intact(work, have):
        yield lambda: dataclasses.replace(have, options=wanted.options)
    elif wanted.artifact.sha256 in stored(work):
        found = _fetch(work, wanted, pinned=None)
        with _probing(work, found.path) as version:
            yield lambda: _installed(work, wanted, found, version)
    else:
        yield lambda: _install(work, wanted, pinned=have.artifact if have else None)


def _install(work: Work, wanted: desired.Wanted, *, pinned: str | None) -> records.Installed:
    found = _fetch(work, wanted, pinned=pinned)
    with _probing(work, found.path) as version:
        return _installed(work, wanted, found, version)


def download(work: Work, wanted: desired.Wanted) -> store.Stored:
    """Have the artifact in the store, checked; containerd and systemd are not asked.

    Raises:
        FetchError: it could not be had, or is not what was promised.
    """
    return _fetch(work, wanted, pinned=None)


def prepare(work: Work, wanted: desired.Wanted) -> records.Installed:
    """Return the Shim with its binary in the store, probed; see `installing`."""
    with installing(work, wanted) as finish:
        return finish()


def _fetch(work: Work, wanted: desired.Wanted, *, pinned: str | None) -> store.Stored:
    with work.tell.step("fetch", f"{wanted.name} from {shown(wanted.artifact.location)}"):
        found = store.ensure(
            work.host.kernel,
            _source(wanted, pinned=pinned),
            machine=_machine(work),
            policy=policy(work.chosen),
            timing=_timing(work),
            progress=lambda p: work.tell.bytes(p.done_bytes, p.total_bytes),
            trust_on_first_use=work.chosen.trust_on_first_use,
        )
    if wanted.artifact.sha256 is None:
        work.tell.note("warning", f"trusted on first use: sha256 {found.digest}")
    return found


def _installed(
    work: Work, wanted: desired.Wanted, found: store.Stored, version: Callable[[], str]
) -> records.Installed:
    with work.tell.step("probe", f"{found.path} -v"):
        told = version()
    return records.Installed(
        name=wanted.name,
        handler=wanted.handler,
        wanted=wanted.digest,
        location=shown(wanted.artifact.location),
        artifact=found.digest,
        binary=found.binary_sha256,
        path=found.path,
        member=wanted.artifact.binary,
        options=wanted.options,
        version=told,
        proven="not proven: turned off" if not work.chosen.prove else "",
    )


def expect(work: Work, wanted: desired.Wanted) -> records.Installed:
    """Return the Shim as `install` would, as far as that is known without a download."""
    have = _current(work, wanted)
    if have is not None:
        return dataclasses.replace(have, options=wanted.options)
    artifact = wanted.artifact.sha256 or UNKNOWN
    return records.Installed(
        name=wanted.name,
        handler=wanted.handler,
        wanted=wanted.digest,
        location=shown(wanted.artifact.location),
        artifact=artifact,
        binary=UNKNOWN,
        path=f"{settings.STORE}/sha256/{artifact}/{wanted.artifact.binary or '…'}",
        options=wanted.options,
    )


@contextlib.contextmanager
def _probing(work: Work, path: str) -> Generator[Callable[[], str]]:
    """Run the shim on the host as containerd would ask it about itself; gives its version.

    `-v` must succeed. `-info` must end: containerd 2.3 runs it for every handler while it starts,
    without a deadline, so a shim that hangs there keeps containerd down (seen on 2.3.7).

    Raises:
        ShimBroken: it does not run, fails, or does not end.
    """
    programs = [(path, "-v"), (path, "-info")]
    with work.host.systemd.running(programs, timeout_s=settings.PROBE_TIMEOUT_S) as ended:
        yield lambda: _version(path, ended)


def _version(path: str, ended: Callable[[], tuple[ports.Completed, ...]]) -> str:
    try:
        done, _ = ended()
    except errors.UnitError as error:
        raise errors.ShimBroken(
            f"{path} does not run: {error.cause}",
            advice="the artifact does not run on this host: check its platform and its libraries",
        ) from error
    if done.exit_code != 0:
        words = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise errors.ShimBroken(
            f"'{path} -v' failed with exit code {done.exit_code}: {errors.clip(words) or 'no output'}",
            advice="the artifact does not run on this host: check its platform and its libraries",
        )
    lines = done.stdout.decode(errors="replace").splitlines()
    told = (line.partition(":") for line in lines)
    return next((v.strip() for k, _, v in told if k.strip() == "Version"), "")[:128]


def intact(work: Work, shim: records.Installed) -> bool:
    """Tell whether the store still holds exactly the binary that was checked."""
    found = store.verify(work.host.kernel, shim.artifact, binary=shim.member).stored
    return found is not None and (found.path, found.binary_sha256) == (shim.path, shim.binary)


def stored(work: Work) -> frozenset[str]:
    """Return the artifacts in the store."""
    return frozenset(entry.digest for entry in store.list(work.host.kernel))


def drop_new(work: Work, before: frozenset[str], *, failure: BaseException) -> None:
    """Leave the store as it was; a download that can be continued keeps what it has."""
    for digest in stored(work) - before:
        store.remove(work.host.kernel, digest)
    if not before and not isinstance(failure, partials.Interrupted):
        store.remove_rest(work.host.kernel)


def with_options(
    shim: records.Installed, options: Mapping[str, bool | int | str]
) -> records.Installed:
    """Return the shim with the options to write."""
    return dataclasses.replace(shim, options=dict(options))


def policy(chosen: settings.Settings) -> terms.Policy:
    """Return the settings as limits of a download."""
    return terms.Policy(
        allow_private=chosen.allow_private,
        ca_file=chosen.ca_file or None,
        mirrors=chosen.mirrors,
    )


def shown(location: str) -> str:
    """Return a URL without its query, which may hold a signature."""
    return locations.parse(location).shown


def _current(work: Work, wanted: desired.Wanted) -> records.Installed | None:
    same = (s for s in work.current.shims if s.name == wanted.name and s.wanted == wanted.digest)
    return next(same, None)


def _source(wanted: desired.Wanted, *, pinned: str | None) -> terms.Source:
    artifact = wanted.artifact
    return terms.Source(
        location=artifact.location, sha256=artifact.sha256 or pinned, binary=artifact.binary
    )


def _machine(work: Work) -> terms.Machine:
    architecture = work.host.machine.architecture()
    if architecture not in {"amd64", "arm64"}:
        raise errors.UnsupportedHost(
            f"this host is {architecture}", advice="shims exist for amd64 and arm64"
        )
    return "amd64" if architecture == "amd64" else "arm64"


def _timing(work: Work) -> terms.Timing:
    machine = work.host.machine
    return terms.Timing(
        clock=machine.uptime_s,
        wait=work.pause or machine.wait,
        jitter=random.random,
    )
