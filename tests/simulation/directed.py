"""Lives whose events are chosen: a cluster, what people do to it, and time that passes."""

from __future__ import annotations

from dataclasses import replace

from rcm_api import noderuntime, shim, shim_status
from rcm_controller import views
from tests.fakes import standin
from tests.simulation import life

MINUTE = 60.0
FACTS = noderuntime.Facts(os="linux", arch="amd64", distribution="debian", containerd="1.7.24")
URL = "https://example.com/{}/{}.tar.gz"


def cluster(seed, nodes, *, facts=lambda _index: FACTS, labels=None):
    """Return a cluster without a Shim."""
    found = life.born(seed)
    for index in range(nodes):
        found.fleet.join(f"n{index}", facts(index), labels or {}, supported=True)
    return found


def apply(found, name, release, *, selector=None, handler=None, **rollout):
    """Create or edit a Shim."""
    url = URL.format(name, release)
    artifact = shim.Artifact(
        os="linux", arch="amd64", location=url, sha256=standin.content(url), binary=None
    )
    wanted = shim.Shim(
        name=name,
        artifacts=(artifact,),
        runtime_class=shim.RuntimeClass(name=handler or name, handler=handler or name),
        options={},
        node_selector=selector,
        rollout=shim.Rollout(**{"soak_seconds": 5, **rollout}),
    )
    former = found.cluster.shims.get(name)
    view = former or views.ShimView(
        name=name,
        uid=f"uid-{name}",
        generation=0,
        created=found.cluster.time(),
        wanted=wanted,
        problem=None,
        status=shim_status.ShimStatus(),
    )
    edited = replace(view, wanted=wanted, generation=view.generation + 1)
    found.cluster.put("shims", name, edited)


def releases(found, name):
    """Return how many machines have which digest, and the phases they are in."""
    entries = [m.state.entries.get(name) for m in found.fleet.machines.values()]
    return [e.digest[:6] if e else "" for e in entries], [e.phase if e else None for e in entries]


def fails(found, name, release, behaviour):
    found.fleet.behaviours[standin.content(URL.format(name, release))] = behaviour


def pass_time(found, minutes):
    found.scheduler.run(found.cluster.now + minutes * MINUTE)
