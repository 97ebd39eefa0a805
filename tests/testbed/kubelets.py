"""What makes a node a member of a cluster: a kubelet, its certificates, and a network for pods.

Called by `clusters`. Everything goes into a running node as one tar and is enabled there, so that a
power cut brings it up again.
"""

import collections.abc
import dataclasses
import functools
import io
import json
import pathlib
import tarfile

import docker
import docker.models.containers
import docker.types

from tests.testbed import controlplane, image, kube, networks, node_containers, nodes

_RECIPE = pathlib.Path(__file__).parent / "cluster_node"
_POD_NETWORK = pathlib.Path(__file__).parent / "node_image" / "10-rcm.conflist"
_UNITS = ("kubelet.service", "rcm-net.service")
_WANTS = "etc/systemd/system/multi-user.target.wants"
_DISKS = ("/var/lib/containerd", "/var/lib/kubelet")


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """A node as its cluster sees it.

    Attributes:
        name: Of the Node object.
        containerd: A name of `containerd.VERSIONS`.
        index: Its number in the network.
        network: Of its cluster.
        labels: What its kubelet registers it with.
    """

    name: str
    containerd: str
    index: int
    network: networks.Network
    labels: collections.abc.Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def address(self) -> str:
        """Return the node's address."""
        return self.network.address(self.index)

    @property
    def pods(self) -> str:
        """Return the range of its pods."""
        return self.network.pods(self.index)


def create(
    client: docker.DockerClient, member: Member, *, marks: collections.abc.Mapping[str, str]
) -> docker.models.containers.Container:
    """Return a node's container, not started.

    Args:
        client: Where it is to run.
        member: Which node.
        marks: Docker's labels.

    Raises:
        BuildError: The node's image cannot be built.
    """
    mount = functools.partial(docker.types.Mount, type="bind", read_only=True)
    return client.containers.create(
        image.node(member.containerd),
        name=f"{member.network.name}-{member.name}",
        hostname=member.name,
        labels=dict(marks),
        network=member.network.name,
        networking_config={
            member.network.name: client.api.create_endpoint_config(ipv4_address=member.address)
        },
        tmpfs={"/run": "exec,mode=755", "/tmp": "exec,mode=1777"},
        mounts=[
            *(docker.types.Mount(target, None, type="volume") for target in _DISKS),
            mount("/usr/local/bin/kubelet", str((kube.programs() / "kubelet").resolve())),
        ],
        volumes=[":".join(each) for each in node_containers.agent_mounts()],
        **node_containers.unprivileged_flags(),
    )


def boot(node: nodes.Node, *, config: bytes | None = None) -> None:
    """Start a node, which has no kubelet yet; return when containerd answers.

    Args:
        node: Just created.
        config: containerd's configuration; None is a plain one.

    Raises:
        NodeError: containerd does not answer in time.
    """
    first = image.default_config(node.containerd) if config is None else config
    node.fill(_tar({nodes.CONFIG.lstrip("/"): first}))
    node.power_on()
    node.import_pause()


def join(node: nodes.Node, member: Member, plane: controlplane.ControlPlane) -> None:
    """Start the kubelet of a booted node.

    Raises:
        CommandError: systemd cannot.
    """
    links = {f"{_WANTS}/{unit}": f"../{unit}" for unit in _UNITS}
    node.exec(["tar", "-x", "-C", "/"], input=_tar(_files(member, plane), links=links))
    node.systemctl("daemon-reload")
    node.systemctl("start", "--no-block", *_UNITS)


def _files(member: Member, plane: controlplane.ControlPlane) -> dict[str, bytes]:
    hosts = (member.name, member.address, "127.0.0.1")
    serving = plane.authority.server(f"system:node:{member.name}", hosts=hosts)
    kubeconfig = plane.user(f"system:node:{member.name}", groups=("system:nodes",))
    recipe = {name: (_RECIPE / name).read_bytes() for name in _UNITS}
    return {
        **{f"etc/systemd/system/{name}": data for name, data in recipe.items()},
        "usr/local/bin/rcm-net": (_RECIPE / "rcm-net").read_bytes(),
        "etc/kubernetes/kubelet.yaml": (_RECIPE / "kubelet.yaml").read_bytes(),
        "etc/kubernetes/kubelet.kubeconfig": kubeconfig.read_bytes(),
        "etc/kubernetes/ca.crt": plane.ca.read_bytes(),
        "etc/kubernetes/serving.crt": serving.certificate,
        "etc/kubernetes/serving.key": serving.key,
        "etc/kubernetes/node.env": _environment(member, plane),
        "etc/kubernetes/routes": _routes(member),
        "etc/cni/net.d/10-rcm.conflist": _pod_network(member),
    }


def _environment(member: Member, plane: controlplane.ControlPlane) -> bytes:
    lines = {
        "NODE_NAME": member.name,
        "NODE_IP": member.address,
        "NODE_LABELS": ",".join(f"{key}={value}" for key, value in member.labels.items()),
        "API_SERVER": f"{member.network.gateway}:{plane.port}",
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items()).encode()


def _routes(member: Member) -> bytes:
    """Return the way to the pods of all nodes that there may ever be, so that none need be told."""
    network = member.network
    others = [index for index in network.indexes if index != member.index]
    lines = (f"{network.pods(index)} {network.address(index)}\n" for index in others)
    return "".join(lines).encode()


def _pod_network(member: Member) -> bytes:
    """Return what the node image has, with this node's own range."""
    document = json.loads(_POD_NETWORK.read_bytes())
    document["plugins"][0]["ipam"]["ranges"] = [[{"subnet": member.pods}]]
    return json.dumps(document).encode()


def _tar(
    files: collections.abc.Mapping[str, bytes],
    *,
    links: collections.abc.Mapping[str, str] | None = None,
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), _mode(name, data)
            archive.addfile(entry, io.BytesIO(data))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return buffer.getvalue()


def _mode(name: str, data: bytes) -> int:
    if data.startswith(b"#!"):
        return 0o755
    return 0o600 if name.endswith((".key", ".kubeconfig")) else 0o644
