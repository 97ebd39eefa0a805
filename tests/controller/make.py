"""Builders of the cluster's objects: a row says what matters, the rest is plain."""

import dataclasses
import hashlib
from datetime import UTC, datetime, timedelta

from rcm_api import conditions, names, noderuntime, shim, shim_status
from rcm_api.noderuntime import Phase, Wanted
from rcm_controller import targets, views
from rcm_controller.world import Policy, World

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FACTS = noderuntime.Facts(os="linux", arch="amd64", distribution="debian", containerd="1.7.24")


replaced = dataclasses.replace


def ago(seconds=0.0):
    return NOW - timedelta(seconds=seconds)


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def wanted(
    name="spin",
    *,
    version="1",
    handler=None,
    runtime_class=None,
    sha256="given",
    selector=None,
    **rollout,
):
    """Return a manifest; `version` tells artifacts apart, keywords are the rollout's."""
    digest = sha(f"{name} {version}") if sha256 == "given" else sha256
    artifact = shim.Artifact(
        os="linux",
        arch="amd64",
        location=f"https://example.com/{name}-{version}.tar.gz",
        sha256=digest,
        binary=None,
    )
    handler = handler or name
    return shim.Shim(
        name=name,
        artifacts=(artifact,),
        runtime_class=shim.RuntimeClass(name=runtime_class or f"wasmtime-{name}", handler=handler),
        options={},
        node_selector=selector,
        rollout=shim.Rollout(**rollout),
    )


def view(manifest=None, *, problem=None, name=None, age=1000.0, **fields):
    """Return a Shim in the cluster, with our finalizer unless told otherwise."""
    if manifest is None and problem is None:
        manifest = wanted()
    name = name or manifest.name
    known = {
        "uid": f"uid-{name}",
        "generation": 1,
        "status": shim_status.ShimStatus(),
        "finalizers": (names.FINALIZER,),
        **fields,
    }
    return views.ShimView(name=name, created=ago(age), wanted=manifest, problem=problem, **known)


def target(manifest=None, pinned=()):
    found = targets.resolve(manifest or wanted(), pinned, os="linux", arch="amd64")
    assert found is not None
    return found


def digest(manifest=None):
    return target(manifest).digest


def node(name="a", *, labels=None, ready_for=(), control_plane=False, **fields):
    """Return a Node; `ready_for` names Shims whose ready label it carries."""
    found = {**(labels or {}), **{names.ready_label(s): names.READY for s in ready_for}}
    if control_plane:
        found["node-role.kubernetes.io/control-plane"] = ""
    known = {"uid": f"uid-{name}", "os": "linux", "arch": "amd64", "ready": True, **fields}
    return views.NodeView(name=name, labels=found, **known)


def entry(manifest=None, phase=Wanted.ACTIVE, *, asked_s=10.0, **fields):
    """Return what a node is asked, `asked_s` ago."""
    manifest = manifest or wanted()
    found = target(manifest)
    known = {
        "handler": found.handler,
        "artifact": found.artifact,
        "digest": found.digest,
        "options": found.options,
        "disruption": found.disruption,
        "asked_at": ago(asked_s),
        **fields,
    }
    return noderuntime.ShimWanted(name=manifest.name, phase=phase, **known)


def seen(manifest=None, phase=Phase.READY, *, has=None, at_s=5.0, **fields):
    """Return what an agent says about `manifest`; `has` is what is installed."""
    manifest = manifest or wanted()
    has = manifest if has is None and phase is Phase.READY else has
    known = {
        "observed_digest": digest(manifest),
        "digest": digest(has) if has is not None else "",
        "handler": has.runtime_class.handler if has is not None else "",
        "time": ago(at_s),
        **fields,
    }
    return noderuntime.ShimObserved(name=manifest.name, phase=phase, **known)


def runtime(name="a", *pairs, facts=FACTS, supported=True, **metadata):
    """Return the object of a node with pairs of what is asked and what is said."""
    entries = tuple(sorted((e for e, _ in pairs if e is not None), key=lambda e: e.name))
    answers = tuple(s for _, s in pairs if s is not None)
    told = () if supported else (conditions.Condition(type="Supported", status="False"),)
    known = {"uid": f"nr-{name}", "resource_version": "1", **metadata}
    return noderuntime.NodeRuntime(
        metadata=noderuntime.Metadata(name=name, **known),
        spec=noderuntime.Spec(node_uid=f"uid-{name}", shims=entries),
        status=noderuntime.Status(facts=facts, shims=answers, conditions=told),
    )


def runtime_class(manifest=None, **fields):
    """Return our RuntimeClass of a manifest."""
    manifest = manifest or wanted()
    known = {
        "uid": f"rc-{manifest.runtime_class.name}",
        "resource_version": "1",
        "handler": manifest.runtime_class.handler,
        "labels": {"app.kubernetes.io/managed-by": names.MANAGER},
        "owners": (f"uid-{manifest.name}",),
        "node_selector": {names.ready_label(manifest.name): names.READY},
        **fields,
    }
    return views.RuntimeClassView(name=manifest.runtime_class.name, **known)


def world(shims=(), nodes=(), runtimes=(), classes=(), *, now=NOW, **policy):
    return World(
        now=now,
        shims={s.name: s for s in shims},
        nodes={n.name: n for n in nodes},
        runtimes={r.name: r for r in runtimes},
        classes={c.name: c for c in classes},
        policy=Policy(**policy),
    )


def proven(*manifests, at_s=1000.0, kind="linux/amd64/debian/1.7"):
    """Return a status whose canaries of `manifests` were proven long ago."""
    records = tuple(
        shim_status.Canary(node_class=kind, digest=digest(m), ready_at=ago(at_s)) for m in manifests
    )
    return shim_status.ShimStatus(canaries=records)


OLD, NEW = wanted(version="1"), wanted(version="2")


def pair(state, new=NEW, old=OLD):
    """Return what is asked and what is said on a node that goes from `old` to `new`."""
    fetched = seen(new, Phase.FETCHED, has=old)
    return {
        "done": (entry(new), seen(new)),
        "due": (entry(new, Wanted.PREFETCH), fetched),
        "blocked": (
            entry(new, Wanted.PREFETCH),
            seen(new, Phase.FETCHED, has=old, reason="WaitingForIdle"),
        ),
        "fetching": (entry(new, Wanted.PREFETCH), seen(old)),
        "unfetched": (entry(new, Wanted.PREFETCH, asked_s=20), seen(new, Phase.FAILED, has=old)),
        "busy": (entry(new), fetched),
        "waiting": (entry(new), seen(new, Phase.WAITING, has=old)),
        "failed": (entry(new), seen(new, Phase.ROLLED_BACK, has=old, message="does not start")),
        "stuck": (entry(new, asked_s=700), fetched),
        "old": (entry(old), seen(old)),
    }[state]


def fleet(new=NEW, *, status=None, down=(), masters=(), classes=None, view_fields=None, **states):
    """Return a world of one Shim; keywords name nodes by their states: `done="abc", due="d"`."""
    found = {name: state for state, names_ in states.items() for name in names_}
    facts = classes or {}
    return world(
        shims=[view(new, status=status or proven(new), **(view_fields or {}))],
        nodes=[
            node(n, ready=n not in down, control_plane=n in masters, ready_for=["spin"])
            for n in sorted(found)
        ],
        runtimes=[
            runtime(n, pair(found[n], new), facts=facts.get(n, FACTS)) for n in sorted(found)
        ],
        classes=[runtime_class(new)],
    )


FLATCAR = noderuntime.Facts(os="linux", arch="amd64", distribution="flatcar", containerd="2.0.5")
UNPROVEN = shim_status.ShimStatus()
