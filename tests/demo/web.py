"""The web server from which nodes fetch the demo's shims, as from a company's own mirror.

A container on the nodes' network: so it can outlive the demo, and goes away by its label.
"""

import collections.abc
import contextlib
import dataclasses
import hashlib

import docker

from tests.testbed import clusters, python_base, shims

# Nodes have the addresses from 10 on.
_HOST = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """One version of the shim as its release page would tell of it.

    Attributes:
        version: For people.
        location: Of the archive.
        sha256: Of the archive.
    """

    version: str
    location: str
    sha256: str


@contextlib.contextmanager
def serving(
    cluster: clusters.Cluster, *, marks: collections.abc.Mapping[str, str], keep: bool
) -> collections.abc.Iterator[str]:
    """Serve the built shims to a cluster; yield the URL of their directory.

    Args:
        cluster: Whose nodes fetch.
        marks: Docker's labels.
        keep: Whether the server outlives the block, unless that fails.
    """
    client = docker.from_env()
    address = f"{cluster.gateway.rpartition('.')[0]}.{_HOST}"
    container = _start(client, cluster, address=address, marks=marks)
    done = False
    try:
        yield f"http://{address}"
        done = True
    finally:
        if not (done and keep):
            container.remove(force=True, v=True)
        client.close()


def release(version: str, *, url: str) -> Release:
    """Return a version of the shim, for example "0.1.0"."""
    archive = shims.archive(f"v{version}")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return Release(version, f"{url}/v{version}/{archive.name}", digest)


def _start(
    client: docker.DockerClient,
    cluster: clusters.Cluster,
    *,
    address: str,
    marks: collections.abc.Mapping[str, str],
) -> docker.models.containers.Container:
    name = cluster.network.name
    container = client.containers.create(
        python_base.image(),
        ["/usr/bin/python3", "-m", "http.server", "--directory=/srv", "80"],
        name=f"{name}-web",
        labels=dict(marks),
        network=name,
        networking_config={name: client.api.create_endpoint_config(ipv4_address=address)},
        volumes={str(shims.build()): {"bind": "/srv", "mode": "ro"}},
    )
    container.start()
    return container
