"""Nodes as large as real ones, for the controller's bench: 12 KB each, 50 images."""

from __future__ import annotations

import concurrent.futures
import functools
from typing import Any

from rcm_api.client import api, resources

IMAGES = 50
"""kubelet's default --node-status-max-images."""
CREATORS = 6
SYSTEM = {
    "machineID": "0123456789abcdef0123456789abcdef",
    "systemUUID": "01234567-89ab-cdef-0123-456789abcdef",
    "bootID": "fedcba98-7654-3210-fedc-ba9876543210",
    "kernelVersion": "6.1.0-30-amd64",
    "osImage": "Debian GNU/Linux 12 (bookworm)",
    "containerRuntimeVersion": "containerd://1.7.24",
    "kubeletVersion": "v1.36.3",
    "kubeProxyVersion": "v1.36.3",
    "operatingSystem": "linux",
    "architecture": "amd64",
}


def names(count: int) -> list[str]:
    """Return the names of the nodes."""
    return [f"worker-{index:05d}" for index in range(count)]


def create(client: api.Client, count: int) -> dict[str, str]:
    """Create the nodes and return their UIDs by name."""
    with concurrent.futures.ThreadPoolExecutor(CREATORS) as pool:
        return dict(pool.map(functools.partial(_create, client), names(count)))


def _create(client: api.Client, name: str) -> tuple[str, str]:
    found = client.create(resources.NODES, body(name), decode=api.document)
    return name, found["metadata"]["uid"]


def body(name: str) -> dict[str, Any]:
    """Return a Node as a kubelet registers it."""
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": "m6i.2xlarge",
        "topology.kubernetes.io/zone": f"zone-{name[-1]}",
    }
    annotations = {"csi.volume.kubernetes.io/nodeid": f'{{"ebs.csi.example.com":"i-{name}"}}'}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "spec": {"podCIDR": "10.0.0.0/24", "providerID": f"example:///zone/{name}"},
        "status": {
            "capacity": _resources(),
            "allocatable": _resources(),
            "conditions": conditions("2026-01-01T00:00:00Z"),
            "addresses": [
                {"type": "InternalIP", "address": "10.1.2.3"},
                {"type": "Hostname", "address": name},
            ],
            "nodeInfo": SYSTEM,
            "images": [_image(index) for index in range(IMAGES)],
        },
    }


def conditions(heartbeat: str) -> list[dict[str, str]]:
    """Return a healthy node's conditions; a heartbeat changes one time in each."""
    told = (
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "has sufficient memory"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "is posting ready status"),
    )
    return [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": f"kubelet {message}",
            "lastHeartbeatTime": heartbeat,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        for kind, status, reason, message in told
    ]


def _resources() -> dict[str, str]:
    return {
        "cpu": "8",
        "ephemeral-storage": "100Gi",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": "32Gi",
        "pods": "110",
    }


def _image(index: int) -> dict[str, Any]:
    name = f"registry.example.com/team-{index % 7}/service-{index}"
    return {
        "names": [f"{name}@sha256:{index:064x}", f"{name}:v1.{index}.0"],
        "sizeBytes": 10_000_000 + index,
    }
