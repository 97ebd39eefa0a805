"""The kinds of object that we ask for, and their paths. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from rcm_api import names


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object."""

    group: str
    """Empty: the core group."""
    version: str
    plural: str
    kind: str
    namespaced: bool = False

    @property
    def api_version(self) -> str:
        """As it stands in manifests."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, name: str = "", *, namespace: str = "", subresource: str = "") -> str:
        """Return the path of one object, or without a name that of all.

        Without a namespace it is that of all namespaces.
        """
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        where = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        one = f"/{quote(name, safe='')}" if name else ""
        part = f"/{subresource}" if subresource else ""
        return f"{root}{where}/{self.plural}{one}{part}"


SHIMS = Resource(names.GROUP, names.VERSION, "shims", "Shim")
NODERUNTIMES = Resource(names.GROUP, names.VERSION, "noderuntimes", "NodeRuntime")
NODES = Resource("", "v1", "nodes", "Node")
RUNTIMECLASSES = Resource("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", namespaced=True)
EVENTS = Resource("", "v1", "events", "Event", namespaced=True)
