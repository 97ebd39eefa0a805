"""Docker networks for clusters: addresses that are known beforehand and stay over a power cut.

Each cluster has a network with its own range for nodes and one per node for pods, so that several
clusters, and the routes to their pods, live side by side on a machine. Called by `clusters`.
"""

import collections.abc
import dataclasses
import ipaddress
import json
import subprocess
import uuid

import docker
import docker.errors
import docker.models.networks
import docker.types

from tests.testbed import errors

# RFC 2544 keeps 198.18.0.0/15 for benches: no network that a machine must reach has it.
_NODES = "198.18"
_PODS = "198.19"
_NETWORKS = 16
_PER_NETWORK = 16
_FIRST_HOST = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Network:
    """One network.

    Attributes:
        name: What Docker calls it.
        number: Which of the ranges it has.
    """

    name: str
    number: int

    @property
    def subnet(self) -> str:
        """Return the range of the nodes' addresses."""
        return f"{_NODES}.{self.number}.0/24"

    @property
    def gateway(self) -> str:
        """Return the address at which nodes reach this machine."""
        return f"{_NODES}.{self.number}.1"

    def address(self, index: int) -> str:
        """Return the address of a node, counted from 0."""
        return f"{_NODES}.{self.number}.{_FIRST_HOST + index}"

    def pods(self, index: int) -> str:
        """Return the range of a node's pods."""
        return f"{_PODS}.{self.number * _PER_NETWORK + index}.0/24"

    @property
    def indexes(self) -> range:
        """Return what nodes may be numbered with."""
        return range(_PER_NETWORK)


def create(client: docker.DockerClient, *, labels: collections.abc.Mapping[str, str]) -> Network:
    """Create a network with ranges that nobody on this machine has.

    Raises:
        MachineError: All ranges are taken.
    """
    name = f"rcm-{uuid.uuid4().hex[:8]}"
    taken = _routes()
    for number in range(_NETWORKS):
        network = Network(name, number)
        if not _overlaps(network, taken) and _created(client, network, labels):
            return network
    raise errors.MachineError(f"all ranges of {_NODES}.0.0/16 for clusters are in use")


def remove(client: docker.DockerClient, network: Network) -> None:
    """Remove a network, and the routes to its pods with it."""
    try:
        found: docker.models.networks.Network = client.networks.get(network.name)
    except docker.errors.NotFound:
        return
    found.remove()


def route(network: Network, index: int) -> bool:
    """Let this machine reach a node's pods; tell whether we may.

    The kernel removes the route with the network's bridge.
    """
    argv = ["ip", "route", "replace", network.pods(index), "via", network.address(index)]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def remove_route(network: Network, index: int) -> None:
    """Undo `route`."""
    argv = ["ip", "route", "delete", network.pods(index)]
    subprocess.run(argv, capture_output=True, check=False)


def _created(
    client: docker.DockerClient, network: Network, labels: collections.abc.Mapping[str, str]
) -> bool:
    pool = docker.types.IPAMPool(subnet=network.subnet, gateway=network.gateway)
    ranges = docker.types.IPAMConfig(pool_configs=[pool])
    try:
        client.networks.create(network.name, driver="bridge", ipam=ranges, labels=dict(labels))
    except docker.errors.APIError as error:
        if "overlaps" in str(error):
            return False
        raise
    return True


def _routes() -> list[ipaddress.IPv4Network]:
    done = subprocess.run(["ip", "-json", "route"], capture_output=True, text=True, check=False)
    found = json.loads(done.stdout or "[]") if done.returncode == 0 else []
    return [ipaddress.IPv4Network(each["dst"]) for each in found if each["dst"] != "default"]


def _overlaps(network: Network, taken: collections.abc.Iterable[ipaddress.IPv4Network]) -> bool:
    ours = [network.subnet, network.pods(0), network.pods(_PER_NETWORK - 1)]
    ranges = [ipaddress.IPv4Network(each) for each in ours]
    return any(each.overlaps(other) for each in ranges for other in taken)
