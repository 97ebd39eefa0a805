"""Documents that these tests apply: Shims, Pods and Deployments, as a user writes them."""

import collections.abc
import typing

from tests.testbed import pause
from tests.workloads import images

Document = dict[str, typing.Any]

ARCHITECTURES = ("amd64", "arm64")
_API_VERSION = "runtime.spinkube.dev/v1alpha1"
# Long enough to be looked at, short enough to be waited for.
_ROLLING = {"maxUpdate": "100%", "canary": {"nodes": 1, "soakSeconds": 1}}


def shim(
    name: str,
    *,
    location: str,
    sha256: str | None,
    version: str = "",
    node_selector: collections.abc.Mapping[str, str] | None = None,
    rolling: collections.abc.Mapping[str, object] | None = None,
    **strategy: object,
) -> Document:
    """Return a Shim whose RuntimeClass and handler are named like it.

    Args:
        name: Of the Shim.
        location: Of the artifact.
        sha256: Of the artifact; None trusts the first download.
        version: For people.
        node_selector: None is all nodes.
        rolling: None is one canary and then all others.
        strategy: Further fields of `rolloutStrategy`, for example disruption="Allow".
    """
    artifact = {"location": location, **({"sha256": sha256} if sha256 else {})}
    spec: Document = {
        "fetchStrategy": {
            "platforms": [{"os": "linux", "arch": arch, **artifact} for arch in ARCHITECTURES]
        },
        "runtimeClass": {"name": name, "handler": name},
        "rolloutStrategy": {"type": "rolling", "rolling": dict(rolling or _ROLLING), **strategy},
    }
    if version:
        spec["version"] = version
    if node_selector is not None:
        spec["nodeSelector"] = dict(node_selector)
    return {
        "apiVersion": _API_VERSION,
        "kind": "Shim",
        "metadata": {"name": name},
        "spec": spec,
    }


def pod(
    name: str, image: str, *, runtime_class: str = "", node: str = "", **container: object
) -> Document:
    """Return a Pod of one container.

    Args:
        name: Of the Pod and of its container.
        image: Imported before; nothing is pulled.
        runtime_class: Empty: the node's own runtime.
        node: Where it must run; empty: wherever it may. The scheduler decides in both cases.
        container: Further fields of the container.
    """
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": _pod_spec(
            name, image, runtime_class=runtime_class, node=node, container=dict(container)
        ),
    }


def deployment(
    name: str,
    image: str,
    *,
    replicas: int,
    runtime_class: str = "",
    node: str = "",
    **container: object,
) -> Document:
    """Return a Deployment of pods as `pod` makes them."""
    template = _pod_spec(
        name, image, runtime_class=runtime_class, node=node, container=dict(container)
    )
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": template},
        },
    }


def plain_pod(name: str, *, node: str) -> Document:
    """Return a Pod of runc that stays."""
    return pod(name, pause.REF, node=node)


def wasm_image(ref: str, wasm: bytes) -> bytes:
    """Return an archive with a guest, for `Cluster.import_image`."""
    return images.image(ref, wasm)


def _pod_spec(
    name: str,
    image: str,
    *,
    runtime_class: str,
    node: str,
    container: collections.abc.Mapping[str, object],
) -> Document:
    main = {"name": name, "image": image, "imagePullPolicy": "Never", **container}
    spec: Document = {"containers": [main], "terminationGracePeriodSeconds": 1}
    if runtime_class:
        spec["runtimeClassName"] = runtime_class
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    return spec
