"""The objects that users and kubelets make, as documents."""

from __future__ import annotations

from typing import Any

from rcm_api import names
from tests.fakes import standin

URL = "https://example.com/spin-{}.tar.gz"
QUICK = {
    standin.content(URL.format(n)): standin.Behaviour(fetch_s=0.1, apply_s=0.3) for n in range(1, 9)
}

_NODE_INFO = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
)


def node(name: str) -> dict[str, Any]:
    info = dict.fromkeys(_NODE_INFO, "") | {"operatingSystem": "linux", "architecture": "amd64"}
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"nodeInfo": info, "conditions": [ready]},
    }


def shim(version: int = 1, **rolling: object) -> dict[str, Any]:
    url = URL.format(version)
    platform = {"os": "linux", "arch": "amd64", "location": url, "sha256": standin.content(url)}
    pace = {"maxUpdate": 2, "canary": {"soakSeconds": 1}} | rolling
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Shim",
        "metadata": {"name": "spin-v2"},
        "spec": {
            "fetchStrategy": {"platforms": [platform]},
            "runtimeClass": {"name": "wasmtime-spin-v2", "handler": "spin-v2"},
            "rolloutStrategy": {"type": "rolling", "rolling": pace},
        },
    }
