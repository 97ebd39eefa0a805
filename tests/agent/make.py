"""Builders of records: a test says what matters, the rest is plain."""

import hashlib

from rcm_agent import plan, ports, records, settings
from rcm_agent.records import Step


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def shim(name="wasmtime", *, handler=None, version="1", options=None):
    artifact = sha(f"{name} {version}")
    return records.Installed(
        name=name,
        handler=handler or name,
        wanted=sha(f"wanted {name} {version}"),
        location="https://example.com/shim.tar.gz",
        artifact=artifact,
        binary=sha(f"binary {name} {version}"),
        path=f"{settings.STORE}/sha256/{artifact}/containerd-shim-{name}-v1",
        options=options or {},
    )


def generation(*shims, owned=(), tree="t", containerd="v2.3.4"):
    return records.Generation(shims=shims, owned=owned, tree=tree, containerd=containerd)


def status(*handlers, version="v2.3.4"):
    return ports.CriStatus(
        runtime_version=version,
        runtime_ready=True,
        network_ready=True,
        handlers=frozenset({"runc", *handlers}),
        sandbox_image="",
    )


def observed(*handlers, links=None, cri=True, boot_id="boot", started_us=1, active="active"):
    unit = ports.Unit(
        name="containerd.service",
        load_state="loaded",
        active_state=active,
        main_pid=7,
        started_us=started_us,
        argv=("/usr/bin/containerd",),
    )
    found = status(*handlers) if cri else None
    return plan.Observed(boot_id=boot_id, unit=unit, status=found, links=links or {})


def linked(*shims):
    return {settings.link(s.handler): s.path for s in shims}


def operation(*, before=(), after=(), step=Step.PREPARE, handlers=("runc",), files=()):
    former, wanted = generation(*before), generation(*after)
    return records.Operation(
        step=step,
        steps=tuple(Step),
        boot_id="boot",
        started_us=1,
        handlers=tuple(handlers),
        network_ready=True,
        files=files,
        links=plan.links(former, wanted, linked(*before)),
        prove=(),
        after=wanted,
    )
