"""A stand-in for the agent: answers a `NodeRuntime` as the real one does, and touches no host.

    node, status = standin.step(node, runtime, now)

A pure function over frozen records, so that a simulation can keep, copy and replay nodes. What the
real agent would find on its host (running containers, a bad release) stands in `NodeState` and
`Behaviour`. `fleet` drives many of them against an API client.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from rcm_api import conditions, noderuntime
from rcm_api.noderuntime import Phase, Wanted

IDLE = "WaitingForIdle"
SIZE = 9_000_000
"""Bytes of every artifact."""
DEAD_PHASES = frozenset({Phase.FAILED, Phase.ROLLED_BACK})
Work = Literal["", "fetch", "apply", "remove"]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What becomes of one digest on the nodes."""

    fetch_s: float = 1.0
    apply_s: float = 3.0
    fails: float = 0.0
    """Share of the nodes on which it fails, chosen by a hash; 1: all."""
    heals_at: int = 1_000
    """Attempt from which on it works where it failed."""
    leaves_nothing: bool = False
    """A failure takes the former version along (`Failed` instead of `RolledBack`)."""
    fetch_fails: bool = False
    hangs: bool = False
    """The trial never ends, and the agent says nothing more about it."""


GOOD = Behaviour()
FACTS = noderuntime.Facts(
    os="linux", arch="amd64", distribution="debian", containerd="1.7.24", agent="0.1.0"
)


class Entry(msgspec.Struct, frozen=True):
    """What a node's journal and store know of one Shim."""

    name: str
    digest: str = ""
    """Installed and proven."""
    handler: str = ""
    options: Mapping[str, object] = msgspec.field(default_factory=dict[str, object])
    sha256: str = ""
    wanted: noderuntime.ShimWanted | None = None
    """What is being answered."""
    work: Work = ""
    until: datetime | None = None
    phase: Phase = Phase.ABSENT
    observed: tuple[str, int] = ("", 0)
    reason: str = ""
    message: str = ""
    time: datetime | None = None


class NodeState(msgspec.Struct, frozen=True):
    """A node with its agent."""

    name: str
    uid: str
    facts: noderuntime.Facts = FACTS
    supported: bool = True
    skew: timedelta = timedelta()
    """Of the node's clock."""
    busy_until: datetime | None = None
    """Until then containers run that a restart would end."""
    in_use_until: datetime | None = None
    """Until then sandboxes use each handler of ours."""
    behaviours: Mapping[str, Behaviour] = msgspec.field(default_factory=dict[str, Behaviour])
    """By sha256 of the artifact's content; `GOOD` for those that are missing."""
    seed: str = ""
    entries: Mapping[str, Entry] = msgspec.field(default_factory=dict[str, Entry])
    store: frozenset[str] = frozenset()
    """SHA-256 of the artifacts that were fetched and checked."""
    restarts: int = 0
    """Of containerd, by the agent."""
    rollbacks: int = 0
    generation: int = 0

    def behaviour(self, sha256: str) -> Behaviour:
        """Return what becomes of an artifact here."""
        return self.behaviours.get(sha256, GOOD)


Answer = tuple[NodeState, noderuntime.Status | None]


def step(node: NodeState, runtime: noderuntime.NodeRuntime, now: datetime) -> Answer:
    """Return the node after one look at its object, and the new status if it changed."""
    if runtime.spec.node_uid != node.uid or runtime.metadata.deletion_timestamp is not None:
        return node, None
    node = replace(node, generation=runtime.metadata.generation)
    if node.supported:
        node = _start(_ask(_finish(node, now), runtime.spec, now), now)
    status = report(node, now)
    return node, None if status == runtime.status else status


def due(node: NodeState, now: datetime) -> datetime | None:
    """Return when the node has something to do or to say, if its object stays as it is."""
    times = [e.until for e in node.entries.values() if e.until is not None]
    gates = (node.busy_until, node.in_use_until) if node.entries else ()
    times += [gate for gate in gates if gate is not None and gate > now]
    return min(times, default=None)


def hangs(node: NodeState) -> bool:
    """Tell whether the agent is busy for ever."""
    return any(entry.work and entry.until is None for entry in node.entries.values())


def restart(node: NodeState, now: datetime) -> NodeState:
    """Start the agent again: the journal is there, half a download is not, a trial begins anew."""
    return replace(node, entries={n: _interrupted(node, e, now) for n, e in node.entries.items()})


def wipe(node: NodeState, uid: str) -> NodeState:
    """Give the name to a new machine."""
    return replace(
        node, uid=uid, entries={}, store=frozenset(), generation=0, restarts=0, rollbacks=0
    )


def register(node: NodeState, uid: str) -> NodeState:
    """Give the machine another UID: what it was asked is void, what it has it keeps."""
    entries = {name: Entry(name, **_kept(entry)) for name, entry in node.entries.items()}
    return replace(node, uid=uid, entries={n: e for n, e in entries.items() if e.digest})


def _kept(entry: Entry) -> dict[str, Any]:
    """A trial that was cut off is undone: the former version is what is there."""
    return {"digest": entry.digest, "handler": entry.handler, "options": entry.options}


def url(entry: Entry) -> str:
    """Return where the wanted artifact is fetched from."""
    return _wanted(entry).artifact.url


def content(url: str) -> str:
    """Return the SHA-256 of what lies at a location."""
    return hashlib.sha256(url.encode()).hexdigest()


def report(node: NodeState, now: datetime) -> noderuntime.Status:
    """Return the status that the node writes."""
    in_use = int(_before(now, node.in_use_until))
    supported = conditions.Condition(type="Supported", status="False", reason="NotContainerd")
    status = noderuntime.Status(
        observed_generation=node.generation,
        facts=node.facts,
        shims=tuple(_observed(node.entries[name], in_use) for name in sorted(node.entries)),
        restarts=node.restarts,
        rollbacks=node.rollbacks,
        conditions=() if node.supported else (supported,),
    )
    return noderuntime.summarized(status)


def _observed(entry: Entry, in_use: int) -> noderuntime.ShimObserved:
    return noderuntime.ShimObserved(
        name=entry.name,
        phase=entry.phase,
        handler=entry.handler,
        digest=entry.digest,
        observed_digest=entry.observed[0],
        observed_attempt=entry.observed[1],
        sha256=entry.sha256,
        size=SIZE if entry.sha256 else 0,
        in_use=in_use if entry.digest else 0,
        reason=entry.reason,
        message=entry.message,
        time=entry.time,
    )


def _finish(node: NodeState, now: datetime) -> NodeState:
    """End the work whose time has come."""
    over = [e for e in node.entries.values() if e.until is not None and e.until <= now]
    for entry in over:
        finished = _ENDS[entry.work](node, replace(entry, work="", until=None), now)
        failed = entry.work == "apply" and finished.phase in DEAD_PHASES
        store = node.store
        if entry.work == "fetch" and finished.phase is not Phase.FAILED:
            store = store | {finished.sha256}
        node = replace(
            node,
            entries={**node.entries, entry.name: finished},
            rollbacks=node.rollbacks + failed,
            store=store,
        )
    return node


def _fetched(node: NodeState, entry: Entry, now: datetime) -> Entry:
    wanted = _wanted(entry)
    found = content(wanted.artifact.url)
    if node.behaviour(found).fetch_fails:
        return _say(node, entry, Phase.FAILED, now, "FetchFailed", "connection refused")
    if wanted.artifact.sha256 not in ("", found):
        return _say(node, entry, Phase.FAILED, now, "DigestMismatch", f"the file is {found}")
    return _say(node, replace(entry, sha256=found), Phase.FETCHED, now)


def _tried(node: NodeState, entry: Entry, now: datetime) -> Entry:
    wanted = _wanted(entry)
    digest, attempt = entry.observed
    behaviour = node.behaviour(content(wanted.artifact.url))
    if attempt >= behaviour.heals_at or _share(node, digest) >= behaviour.fails:
        done = replace(entry, digest=digest, handler=wanted.handler, options=wanted.options)
        return _say(node, done, Phase.READY, now)
    words = "containerd: cannot start the shim"
    if behaviour.leaves_nothing:
        nothing = replace(entry, digest="", handler="", options={})
        return _say(node, nothing, Phase.FAILED, now, "ProofFailed", words)
    return _say(node, entry, Phase.ROLLED_BACK, now, "ProofFailed", words)


def _removed(node: NodeState, entry: Entry, now: datetime) -> Entry:
    return _say(node, replace(entry, digest="", handler="", options={}), Phase.ABSENT, now)


_ENDS = {"fetch": _fetched, "apply": _tried, "remove": _removed}


def _ask(node: NodeState, spec: noderuntime.Spec, now: datetime) -> NodeState:
    """Take in what the spec says of each Shim; a trial or a removal is ended first."""
    entries = dict(node.entries)
    for wanted in spec.shims:
        former = entries.get(wanted.name, Entry(wanted.name))
        entries[wanted.name] = _turn(node, former, wanted, now)
    for name in entries.keys() - {wanted.name for wanted in spec.shims}:
        if entries[name].work in ("", "fetch"):
            entries[name] = replace(entries[name], wanted=None, work="", until=None)
        if not entries[name].digest and not entries[name].work:
            del entries[name]
    return replace(node, entries=entries)


def _turn(node: NodeState, entry: Entry, wanted: noderuntime.ShimWanted, now: datetime) -> Entry:
    if entry.work in ("apply", "remove") or _same(entry.wanted, wanted):
        return entry
    answered = entry.phase in DEAD_PHASES and entry.observed == (wanted.digest, wanted.attempt)
    fetching = entry.work == "fetch" and _same_file(entry.wanted, wanted)
    entry = replace(entry, wanted=wanted, observed=(wanted.digest, wanted.attempt))
    if wanted.phase is Wanted.ABSENT:
        entry = replace(entry, work="", until=None)
        phase = Phase.DRAINING if entry.digest else Phase.ABSENT
        return _say(node, entry, phase, now)
    if answered or fetching:
        return entry
    entry = replace(entry, work="", until=None)
    if _installed(entry, wanted):
        ready = wanted.phase is Wanted.ACTIVE
        return _say(node, entry, Phase.READY if ready else Phase.FETCHED, now)
    if content(wanted.artifact.url) in node.store and wanted.artifact.sha256:
        return _say(node, entry, Phase.FETCHED, now)
    fetch_s = node.behaviour(content(wanted.artifact.url)).fetch_s
    working = replace(entry, sha256="", work="fetch", until=now + timedelta(seconds=fetch_s))
    return _say(node, working, Phase.FETCHING, now)


def _start(node: NodeState, now: datetime) -> NodeState:
    """Begin everything that may begin, in one go and with one restart."""
    entries = {name: _gate(node, entry, now) for name, entry in node.entries.items()}
    node = replace(node, entries=entries)
    if any(e.work in ("apply", "remove") for e in entries.values()):
        return node
    go = [e for e in entries.values() if _may_try(e) or _may_go(node, e, now)]
    if not go:
        return node
    restarts = any(e.phase is Phase.DRAINING or _restarts(e) for e in go)
    started = {e.name: _begin(node, e, now) for e in go}
    return replace(node, entries=entries | started, restarts=node.restarts + restarts)


def _gate(node: NodeState, entry: Entry, now: datetime) -> Entry:
    """Say whether running containers are in the way of a restart."""
    if entry.phase not in (Phase.FETCHED, Phase.WAITING) or entry.wanted is None:
        return entry
    active = entry.wanted.phase is Wanted.ACTIVE
    if not _blocked(node, entry, now):
        return _say(node, entry, Phase.FETCHED, now)
    phase = Phase.WAITING if active else Phase.FETCHED
    return _say(node, entry, phase, now, IDLE, "1 container runs: default/web")


def _blocked(node: NodeState, entry: Entry, now: datetime) -> bool:
    patient = _wanted(entry).disruption != "Allow"
    return patient and _before(now, node.busy_until) and _restarts(entry)


def _may_try(entry: Entry) -> bool:
    active = entry.wanted is not None and entry.wanted.phase is Wanted.ACTIVE
    return active and entry.phase is Phase.FETCHED and not entry.work


def _may_go(node: NodeState, entry: Entry, now: datetime) -> bool:
    return entry.phase is Phase.DRAINING and not _before(now, node.in_use_until)


def _begin(node: NodeState, entry: Entry, now: datetime) -> Entry:
    if entry.phase is Phase.DRAINING:
        return replace(entry, work="remove", until=now + timedelta(seconds=GOOD.apply_s))
    behaviour = node.behaviour(content(_wanted(entry).artifact.url))
    until = None if behaviour.hangs else now + timedelta(seconds=behaviour.apply_s)
    return _say(node, replace(entry, work="apply", until=until), Phase.APPLYING, now)


def _interrupted(node: NodeState, entry: Entry, now: datetime) -> Entry:
    if entry.work == "fetch":
        return replace(entry, wanted=None, work="", until=None, phase=Phase.ABSENT)
    return entry if not entry.work else replace(_begin(node, entry, now), work=entry.work)


def _say(
    node: NodeState, entry: Entry, phase: Phase, now: datetime, reason: str = "", message: str = ""
) -> Entry:
    if (entry.phase, entry.reason) == (phase, reason) and entry.time is not None:
        return entry
    return replace(entry, phase=phase, reason=reason, message=message, time=now + node.skew)


def _wanted(entry: Entry) -> noderuntime.ShimWanted:
    assert entry.wanted is not None
    return entry.wanted


def _same(former: noderuntime.ShimWanted | None, wanted: noderuntime.ShimWanted) -> bool:
    if former is None:
        return False
    mine = (former.phase, former.digest, former.attempt, former.disruption)
    return mine == (wanted.phase, wanted.digest, wanted.attempt, wanted.disruption)


def _same_file(former: noderuntime.ShimWanted | None, wanted: noderuntime.ShimWanted) -> bool:
    return former is not None and former.artifact == wanted.artifact


def _installed(entry: Entry, wanted: noderuntime.ShimWanted) -> bool:
    return bool(entry.digest) and (entry.digest, entry.handler) == (wanted.digest, wanted.handler)


def _restarts(entry: Entry) -> bool:
    """Tell whether containerd's configuration must change; another binary alone needs none."""
    wanted = _wanted(entry)
    return (entry.handler, entry.options) != (wanted.handler, wanted.options) or not entry.digest


def _before(now: datetime, time: datetime | None) -> bool:
    return time is not None and now < time


def _share(node: NodeState, digest: str) -> float:
    """Return a number in [0, 1) that stays the same for a node and a digest."""
    drawn = hashlib.blake2b(f"{node.seed}/{node.name}/{digest}".encode(), digest_size=8)
    return int.from_bytes(drawn.digest()) / 2**64
