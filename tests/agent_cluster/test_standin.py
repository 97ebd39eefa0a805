"""The real agent and the stand-in answer the same questions with the same phases.

The simulations of the controller rest on the stand-in: whatever it says, an agent must say too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcm_api import noderuntime
from rcm_api.noderuntime import Phase, Wanted
from tests.agent_cluster.rig import CRASH, GOOD_1, GOOD_2, Rig, place, sha, wanted
from tests.fakes import standin
from tests.fakes.apiserver import model

GONE = b"nowhere on the host"
LONG_S = 650
"""Longer than the window of the restart budget: the stand-in has none."""


def url(data):
    return f"file://{place(data)}"


def artifact(data):
    """What the stand-in takes for the content of a URL is the URL's hash."""
    return standin.content(url(data))


@dataclass(frozen=True)
class Ask:
    """One question about one Shim; None as the phase: the entry is gone."""

    phase: Wanted | None
    data: bytes = GOOD_1
    name: str = "spin"
    attempt: int = 0
    pinned: bool = True


class Both:
    def __init__(self):
        self.rig = Rig()
        bad = standin.Behaviour(fails=1)
        behaviours = {artifact(CRASH): bad, artifact(GONE): standin.Behaviour(fetch_fails=True)}
        self.node = standin.NodeState("worker-1", "u", behaviours=behaviours)
        self.asked = {}
        self.heard = {}
        self.now = model.EPOCH
        self.runtime = noderuntime.NodeRuntime(
            metadata=noderuntime.Metadata(name="worker-1", generation=1),
            spec=noderuntime.Spec(node_uid="u"),
        )

    def ask(self, *asks):
        for one in asks:
            if one.phase is None:
                self.asked.pop(one.name, None)
            else:
                self.asked[one.name] = one
        real = [self._entry(a, sha(a.data)) for a in self.asked.values()]
        fake = [self._entry(a, artifact(a.data)) for a in self.asked.values()]
        self.rig.ask(*real)
        meta = msgspec.structs.replace(
            self.runtime.metadata, generation=self.runtime.metadata.generation + 1
        )
        spec = noderuntime.Spec(node_uid="u", shims=tuple(fake))
        self.runtime = msgspec.structs.replace(self.runtime, metadata=meta, spec=spec)
        self.rig.run(LONG_S)
        self._step()

    def _entry(self, ask, pinned):
        return wanted(
            ask.phase,
            ask.data,
            name=ask.name,
            attempt=ask.attempt,
            url=url(ask.data),
            sha256=pinned if ask.pinned else "",
            digest=f"{ask.data[-20:].hex()}{'p' if ask.pinned else ''}"[-60:],
        )

    def _step(self):
        for _ in range(LONG_S):
            self.node, status = standin.step(self.node, self.runtime, self.now)
            if status is not None:
                self.runtime = msgspec.structs.replace(self.runtime, status=status)
                for seen in status.shims:
                    said = self.heard.setdefault(seen.name, [])
                    if not said or said[-1] != seen.phase:
                        said.append(seen.phase)
            self.now += timedelta(seconds=1)

    def phases(self):
        real = {name: _told(self.rig.phases(name)) for name in self.heard}
        return real, {name: _told(phases) for name, phases in self.heard.items()}

    def facts(self):
        real = {s.name: _essence(s) for s in self.rig.status.shims}
        return real, {s.name: _essence(s) for s in self.runtime.status.shims}


def _told(phases):
    """Leave out `Fetched` for a moment, while another Shim has its turn."""
    pairs = zip(phases, [*phases[1:], None], strict=True)
    return [one for one, then in pairs if (one, then) != (Phase.FETCHED, Phase.APPLYING)]


def _essence(seen):
    return seen.phase, seen.digest, seen.handler, seen.observed_digest, seen.observed_attempt


PREFETCH, ACTIVE, ABSENT = Wanted.PREFETCH, Wanted.ACTIVE, Wanted.ABSENT
STORIES = [
    pytest.param([[Ask(ACTIVE)]], id="install"),
    pytest.param([[Ask(PREFETCH)], [Ask(ACTIVE)]], id="prefetch, install"),
    pytest.param([[Ask(ACTIVE)], [Ask(PREFETCH, GOOD_2)], [Ask(ACTIVE, GOOD_2)]], id="upgrade"),
    pytest.param([[Ask(ACTIVE)], [Ask(ACTIVE, GOOD_2)], [Ask(ACTIVE)]], id="there and back"),
    pytest.param([[Ask(ACTIVE)], [Ask(ABSENT, attempt=1)], [Ask(None)]], id="remove"),
    pytest.param([[Ask(ACTIVE)], [Ask(None)], [Ask(ACTIVE)]], id="entry gone, and back"),
    pytest.param([[Ask(ACTIVE, CRASH)], [Ask(ACTIVE, CRASH, attempt=1)]], id="fails, retried"),
    pytest.param([[Ask(ACTIVE)], [Ask(ACTIVE, CRASH)], [Ask(ACTIVE)]], id="fails, taken back"),
    pytest.param([[Ask(ACTIVE)], [Ask(ACTIVE, CRASH)], [Ask(PREFETCH, CRASH)]], id="fails, held"),
    pytest.param([[Ask(PREFETCH, GONE)], [Ask(PREFETCH, GONE, attempt=1)]], id="fetch fails"),
    pytest.param(
        [[Ask(ACTIVE, CRASH)], [Ask(ABSENT, CRASH, attempt=1)], [Ask(None)]], id="fails, removed"
    ),
    pytest.param([[Ask(ACTIVE), Ask(ACTIVE, GOOD_2, "two")]], id="two at once"),
    pytest.param(
        [[Ask(ACTIVE)], [Ask(ABSENT, attempt=1), Ask(ACTIVE, GOOD_2, "two")]], id="one for other"
    ),
    pytest.param([[Ask(ACTIVE, pinned=False)], [Ask(ACTIVE)]], id="trusted, then pinned"),
]


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.timeout(60)
def test_the_stand_in_says_what_the_agent_says(story):
    both = Both()
    for asks in story:
        both.ask(*asks)

    real, fake = both.facts()
    assert real == fake
    real, fake = both.phases()
    assert real == fake


_asks = st.builds(
    Ask,
    st.sampled_from([*Wanted, None]),
    st.sampled_from([GOOD_1, GOOD_2, CRASH]),
    attempt=st.integers(0, 1),
)


@pytest.mark.timeout(120)
@settings(max_examples=40, deadline=None)
@given(st.lists(_asks, min_size=1, max_size=5))
def test_whatever_is_asked_both_end_alike(asks):
    both = Both()
    for number, one in enumerate(asks):
        if one.phase is ABSENT:  # as the controller: a new attempt with each removal
            one = Ask(ABSENT, one.data, attempt=10 + number)  # noqa: PLW2901
        both.ask(one)

    real, fake = both.facts()
    assert real == fake
