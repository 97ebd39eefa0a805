"""Decides what to do next about the Shims of this node, and what to say meanwhile. Pure.

Called by `loop` after each look, again and again until nothing is to be done. `tests/fakes/standin`
answers as this does; a contract test holds both to it.

An entry asks for              and then
-----------------------------  ------------------------------------------------------------
nothing (there is none)        what is installed stays; the rest is forgotten
Absent                         Draining until no sandbox uses it, then it is removed
Prefetch, Active: has it       Fetched, or Ready
… and failed at it already     the answer stands until digest or attempt change, or until
                               containerd may be restarted again where that was the reason
… not in the store             Fetching
… in the store                 Fetched; Active goes on at once, or Waiting at the gate

All that may go at one time goes in one operation, with one restart; what failed together goes alone
the next time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rcm_agent import desired
from rcm_agent.cluster import answers, reasons
from rcm_agent.cluster.answers import Answers, Say
from rcm_agent.records import Installed
from rcm_api.noderuntime import Phase, ShimWanted, Wanted

Key = tuple[str, str]
"""A Shim's name and the digest asked for."""
ALLOW = "Allow"


@dataclass(frozen=True, slots=True)
class Known:
    """What a decision needs."""

    asked: Mapping[str, ShimWanted]
    installed: Mapping[str, Installed]
    said: Answers
    stored: frozenset[str] = frozenset()
    """Artifacts in the store."""
    pins: Mapping[Key, str] = field(default_factory=dict[Key, str])
    """Artifacts of entries that name none: what this node downloaded."""
    prepared: frozenset[Key] = frozenset()
    """Fetched, checked and probed by this agent."""
    users: Mapping[str, int] = field(default_factory=dict[str, int])
    """What runs by handler: sandboxes, and containers outside of CRI."""
    broken: Mapping[str, Say] = field(default_factory=dict[str, Say])
    """Installed Shims that do not work as the journal says, and what to say of each."""
    blockers: str | None = None
    """Containers that a restart would end; empty: none; None: nobody asked yet."""
    apart: frozenset[str] = frozenset()
    """Shims of an operation that failed: they go alone."""
    restarting: frozenset[str] = frozenset()
    """Shims that turned out to need a restart."""
    spent: bool = False
    """containerd was restarted so often that it must not be again for a while."""
    down: bool = False
    """CRI does not answer: nothing is changed until it does."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do; each field may be empty."""

    say: Mapping[str, Say]
    """Of each Shim that is asked for or installed; others are forgotten."""
    fetch: tuple[str, ...] = ()
    """To be downloaded."""
    prepare: tuple[str, ...] = ()
    """In the store, to be checked and probed."""
    ask_gate: bool = False
    """Decide again once `blockers` is known."""
    install: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    allow: bool = False
    """Running containers that the restart would end may be stopped first."""
    waits: bool = False
    """Something waits for containers or sandboxes to go."""

    @property
    def acts(self) -> bool:
        """Whether an operation follows."""
        return bool(self.install or self.remove)


@dataclass(frozen=True, slots=True)
class _Course:
    """One Shim's way on."""

    name: str
    say: Say
    need: str = ""
    """`fetch`, `prepare`, `install`, `remove`, or `gate`: only what to say depends on it."""
    restarts: bool = False
    patient: bool = True
    """Whether its restart waits until it ends nobody's container."""


def plan(known: Known) -> Plan:
    """Return what to do next."""
    courses = tuple(_courses(known))
    if known.down:
        return _plan(tuple(map(_postponed, courses)), ())
    if known.blockers is None and any(_at_gate(c) for c in courses):
        return _plan(courses, (), ask_gate=True)
    blockers = known.blockers or ""
    courses = tuple(_gated(c, blockers) for c in courses)
    going = _together([c for c in courses if c.need in {"install", "remove"}], known.apart)
    return _plan(courses, going, blockers=blockers)


def _plan(
    courses: tuple[_Course, ...],
    going: tuple[_Course, ...],
    *,
    blockers: str = "",
    ask_gate: bool = False,
) -> Plan:
    return Plan(
        say={c.name: c.say for c in courses},
        fetch=_names(courses, "fetch"),
        prepare=_names(courses, "prepare"),
        ask_gate=ask_gate,
        install=_names(going, "install"),
        remove=_names(going, "remove"),
        allow=bool(blockers) and any(c.restarts and not c.patient for c in going),
        waits=any(c.say.reason in {reasons.IDLE, reasons.IN_USE} for c in courses),
    )


def artifact(known: Known, entry: ShimWanted) -> str:
    """Return the SHA-256 of what an entry asks for; empty: nobody knows it yet."""
    return entry.artifact.sha256.lower() or known.pins.get((entry.name, entry.digest), "")


def needed(known: Known) -> frozenset[str]:
    """Return the artifacts that entries ask for: they stay in the store."""
    wanted = (e for e in known.asked.values() if e.phase is not Wanted.ABSENT)
    return frozenset(filter(None, (artifact(known, entry) for entry in wanted)))


def _names(courses: tuple[_Course, ...], need: str) -> tuple[str, ...]:
    return tuple(c.name for c in courses if c.need == need)


def _courses(known: Known) -> Iterator[_Course]:
    for name in sorted({*known.asked, *known.installed}):
        entry = known.asked.get(name)
        if entry is None:
            yield _Course(name, _unasked(known, name))
        elif entry.phase is Wanted.ABSENT:
            yield _leaving(known, entry)
        else:
            yield _coming(known, entry)


def _unasked(known: Known, name: str) -> Say:
    """Nobody asks any more; what was said of it stays true."""
    if name in known.broken:
        return known.broken[name]
    said = known.said.get(name)
    if said is None or said.phase in {Phase.ABSENT, Phase.DRAINING, Phase.APPLYING}:
        return Say(Phase.READY)
    return Say(said.phase, said.reason, said.message)


def _leaving(known: Known, entry: ShimWanted) -> _Course:
    have, said = known.installed.get(entry.name), known.said.get(entry.name)
    if have is None:
        return _Course(entry.name, Say(Phase.ABSENT))
    failed = said is not None and said.asked is Wanted.ABSENT and _stands(known, said, entry)
    if said is not None and failed:
        return _Course(entry.name, Say(said.phase, said.reason, said.message))
    users = known.users.get(have.handler, 0)
    if users:
        return _Course(entry.name, Say(Phase.DRAINING, reasons.IN_USE, _used(users, have.handler)))
    patient = entry.disruption != ALLOW
    return _Course(entry.name, Say(Phase.DRAINING), "remove", restarts=True, patient=patient)


def _coming(known: Known, entry: ShimWanted) -> _Course:
    have, said = known.installed.get(entry.name), known.said.get(entry.name)
    active = entry.phase is Wanted.ACTIVE
    if have is not None and (have.wanted, have.handler) == (entry.digest, entry.handler):
        if entry.name in known.broken:
            return _Course(entry.name, known.broken[entry.name])
        return _Course(entry.name, Say(Phase.READY if active else Phase.FETCHED))
    if said is not None and _stands(known, said, entry):
        return _Course(entry.name, Say(said.phase, said.reason, said.message))
    if artifact(known, entry) not in known.stored:
        return _Course(entry.name, Say(Phase.FETCHING), "fetch")
    return _fetched(known, entry, have, active=active)


def _stands(known: Known, said: answers.Answer, entry: ShimWanted) -> bool:
    """Tell whether it failed already; what only came too soon is tried again by itself."""
    if said.phase not in answers.DEAD or not said.answers(entry):
        return False
    return said.reason != reasons.BUDGET_SPENT or known.spent


def _fetched(known: Known, entry: ShimWanted, have: Installed | None, *, active: bool) -> _Course:
    say = Say(Phase.FETCHED)
    if (entry.name, entry.digest) not in known.prepared:
        said = known.said.get(entry.name)
        kept = said is not None and said.phase is Phase.FETCHING and said.answers(entry)
        return _Course(entry.name, Say(Phase.FETCHING) if kept else say, "prepare")
    users = known.users.get(have.handler, 0) if have is not None else 0
    if have is not None and have.handler != entry.handler and users:
        what = _used(users, have.handler)
        waiting = Say(Phase.WAITING if active else Phase.FETCHED, reasons.IDLE, what)
        return _Course(entry.name, waiting)
    return _Course(
        entry.name,
        Say(Phase.APPLYING) if active else say,
        "install" if active else "gate",
        restarts=entry.name in known.restarting or _restarts(entry, have),
        patient=entry.disruption != ALLOW,
    )


def _used(users: int, handler: str) -> str:
    pods = "1 sandbox uses" if users == 1 else f"{users} sandboxes use"
    return f"{pods} the handler {handler}"


def _postponed(course: _Course) -> _Course:
    if course.need not in {"install", "remove", "gate"}:
        return course
    phase = Phase.DRAINING if course.need == "remove" else Phase.FETCHED
    return _Course(course.name, Say(phase, reasons.CONTAINERD_DOWN, "CRI does not answer"))


def _at_gate(course: _Course) -> bool:
    return course.restarts and course.need in {"install", "remove", "gate"}


def _gated(course: _Course, blockers: str) -> _Course:
    """Say whether running containers are in the way; what is patient waits for them."""
    if not (blockers and course.patient and _at_gate(course)):
        return course
    phase = {"install": Phase.WAITING, "remove": Phase.DRAINING}.get(course.need, Phase.FETCHED)
    return _Course(course.name, Say(phase, reasons.IDLE, blockers))


def _together(going: list[_Course], apart: frozenset[str]) -> tuple[_Course, ...]:
    """Return those of the next operation: all that never failed together, else one alone."""
    fresh = tuple(c for c in going if c.name not in apart)
    return fresh or tuple(going[:1])


def _restarts(entry: ShimWanted, have: Installed | None) -> bool:
    """Tell whether containerd's configuration must change; another binary alone needs none."""
    if have is None or have.handler != entry.handler:
        return True
    follows = desired.CGROUP_OPTION not in entry.options
    written = {
        key: value
        for key, value in have.options.items()
        if not (follows and key == desired.CGROUP_OPTION)
    }
    return written != dict(entry.options)
