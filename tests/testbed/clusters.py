"""A whole Kubernetes cluster on this machine: a control plane of processes, nodes in containers.

    with clusters.start(directory, nodes={"node-1": "1.7", "node-2": "2.3"}) as cluster:
        cluster.kubectl("get", "nodes")
        cluster.nodes["node-1"].power_cut()

Every node has a real kubelet, containerd and systemd; pods have addresses that reach each other
over nodes, and this machine when we are root. There is no kube-proxy, no DNS and no registry: pods
reach the API server by its service address, and images are imported.
"""

import collections.abc
import concurrent.futures
import contextlib
import dataclasses
import datetime as dt
import pathlib
import typing

import docker

from tests.testbed import (
    asking,
    controlplane,
    kept,
    kubelets,
    labels,
    machine,
    networks,
    nodes,
    readiness,
    waiting,
)

_SERVICE_ADDRESS = "10.96.0.1"
# Removing a busy container takes longer than Docker's client likes to wait.
_DOCKER_TIMEOUT_S = 120
# Two nodes were Ready 3 s after their kubelets started; compilers beside them made it 20.
_READY_TIMEOUT_S = 120.0
# A dead node is noticed after 20 s instead of 50; must be longer than kubelets' leases of 16 s.
_NOTICING = ("--node-monitor-grace-period=20s", "--node-monitor-period=2s")


Seen = typing.TypeVar("Seen")


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What is not the same in all clusters.

    Attributes:
        keep: Whether the cluster outlives the block, and this process, until `stop_kept()`.
        configs: containerd's configuration by node; the others have a plain one.
        api_server_flags: Added to the API server's.
        controller_manager_flags: Added to that one's.
    """

    keep: bool = False
    configs: collections.abc.Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    api_server_flags: tuple[str, ...] = ()
    controller_manager_flags: tuple[str, ...] = ()


class Cluster:
    """A running cluster.

    Attributes:
        nodes: By name.
        network: Its addresses.
        plane: Its control plane.
        reaches_pods: Whether this machine reaches pods by their addresses; only root may say so.
    """

    def __init__(self, client: docker.DockerClient, options: Options) -> None:
        self.nodes: dict[str, nodes.Node] = {}
        self.plane: controlplane.ControlPlane
        self.reaches_pods = True
        self._client = client
        self._options = options
        self._marks = labels.KEPT if options.keep else labels.of_this_process()
        self._members: dict[str, kubelets.Member] = {}
        self.network = networks.create(client, labels=self._marks)

    @property
    def kubeconfig(self) -> pathlib.Path:
        """Return an administrator's."""
        return self.plane.kubeconfig

    @property
    def gateway(self) -> str:
        """Return the address at which nodes and pods reach this machine."""
        return self.network.gateway

    def kubectl(self, *words: str, stdin: str = "") -> str:
        """Run kubectl as an administrator: see `ControlPlane.kubectl`."""
        return self.plane.kubectl(*words, stdin=stdin)

    def get(self, *words: str) -> typing.Any:
        """Return what `kubectl get` says of objects, decoded; cheap enough to be asked often.

        Raises:
            CommandError: The API server refuses, for example because nothing has the name.
        """
        return self._asker.get(words)

    def wait(
        self,
        what: str,
        look: collections.abc.Callable[[], Seen],
        *,
        good: collections.abc.Callable[[Seen], object] = bool,
        timeout_s: float = 60.0,
    ) -> Seen:
        """Look until what is seen is good, and return it: see `waiting.until`.

        Raises:
            NodeError: The time passed; with what was seen last.
        """
        return waiting.until(what, look, good=good, timeout_s=timeout_s)

    def wait_ready(self, *names: str, timeout_s: float = _READY_TIMEOUT_S) -> None:
        """Wait until nodes are Ready, all of them when none is named.

        Raises:
            NodeError: One is not in time; with the end of its kubelet's journal.
        """
        wanted = {name: self.nodes[name] for name in names or self.nodes}
        readiness.wait(self.plane, wanted, timeout_s=timeout_s)

    def add_node(
        self,
        name: str,
        containerd: str,
        *,
        node_labels: collections.abc.Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> nodes.Node:
        """Start a node and let it join.

        Raises:
            NodeError: It does not get Ready in time.
        """
        member = self._member(name, containerd, node_labels or {})
        self._boot(member)
        self._join([member])
        if wait:
            self.wait_ready(name)
        return self.nodes[name]

    def remove_node(self, name: str) -> None:
        """Remove a node at once, as when its machine is gone, and its Node object."""
        member = self._members.pop(name)
        self.nodes.pop(name).remove()
        networks.remove_route(self.network, member.index)
        self.kubectl("delete", "node", name, "--ignore-not-found", "--wait=false")

    def power_cut(self, name: str) -> None:
        """Cut a node's power, boot it again, and wait until its new kubelet says Ready.

        Raises:
            NodeError: It does not in time.
        """
        since = dt.datetime.now(dt.UTC)
        self.nodes[name].power_cut()
        wanted = {name: self.nodes[name]}
        readiness.wait(self.plane, wanted, since=since, timeout_s=_READY_TIMEOUT_S)

    def import_image(
        self, archive: bytes | pathlib.Path, *, names: collections.abc.Collection[str] = ()
    ) -> None:
        """Import an OCI or Docker archive on the named nodes, or on all."""
        data = archive.read_bytes() if isinstance(archive, pathlib.Path) else archive
        chosen = [self.nodes[name] for name in names or self.nodes]
        waiting.side_by_side(lambda node: node.import_image(data), chosen)

    def pod_ip(self, name: str, *, namespace: str = "default", timeout_s: float = 60.0) -> str:
        """Wait for a pod's address and return it.

        Raises:
            NodeError: It has none in time.
        """
        where = ("pod", name, f"--namespace={namespace}")
        return self.wait(
            f"an address of pod {namespace}/{name}",
            lambda: str(self.get(*where)["status"].get("podIP", "")),
            timeout_s=timeout_s,
        )

    def boot(self, directory: pathlib.Path, versions: collections.abc.Mapping[str, str]) -> None:
        """Start the control plane and the first nodes. Called by `start` only.

        Raises:
            BuildError: A part cannot be built.
            NodeError: Something is not ready in time.
        """
        members = [self._member(name, version, {}) for name, version in versions.items()]
        with concurrent.futures.ThreadPoolExecutor(max(1, len(members))) as pool:
            booting = [pool.submit(self._boot, member) for member in members]
            # Not in the pool: the programs would end with the thread that started them.
            self.plane = controlplane.started(directory, self._plane_options())
            self._asker = asking.Asker(self.plane)
            for each in booting:
                each.result()
        self._join(members)
        self.wait_ready()
        self.wait("the default ServiceAccount", lambda: self.get("serviceaccount", "default"))

    def leave(self) -> None:
        """Let everything run on without us."""
        self.plane.leave()

    def stop(self) -> None:
        """Remove everything."""
        with contextlib.ExitStack() as stack:
            stack.callback(networks.remove, self._client, self.network)
            stack.callback(waiting.side_by_side, nodes.Node.remove, list(self.nodes.values()))
            if hasattr(self, "plane"):
                self.plane.stop()

    def _plane_options(self) -> controlplane.Options:
        return controlplane.Options(
            controller_manager=True,
            scheduler=True,
            api_server_flags=self._options.api_server_flags,
            controller_manager_flags=(*_NOTICING, *self._options.controller_manager_flags),
            listen=self.network.gateway,
            addresses=(_SERVICE_ADDRESS,),
            outlives_us=self._options.keep,
        )

    def _member(
        self, name: str, containerd: str, node_labels: collections.abc.Mapping[str, str]
    ) -> kubelets.Member:
        taken = {member.index for member in self._members.values()}
        index = next(each for each in self.network.indexes if each not in taken)
        member = kubelets.Member(name, containerd, index, self.network, node_labels)
        self._members[name] = member
        return member

    def _boot(self, member: kubelets.Member) -> None:
        container = kubelets.create(self._client, member, marks=self._marks)
        node = nodes.Node(container, containerd=member.containerd)
        self.nodes[member.name] = node
        kubelets.boot(node, config=self._options.configs.get(member.name))
        self.reaches_pods &= networks.route(self.network, member.index)

    def _join(self, members: collections.abc.Sequence[kubelets.Member]) -> None:
        waiting.side_by_side(
            lambda each: kubelets.join(self.nodes[each.name], each, self.plane), members
        )


@contextlib.contextmanager
def start(
    directory: pathlib.Path,
    *,
    nodes: collections.abc.Mapping[str, str],
    options: Options | None = None,
) -> collections.abc.Iterator[Cluster]:
    """Start a cluster; remove it when the block ends, unless it is to be kept.

    Args:
        directory: For certificates, data and logs of the control plane.
        nodes: Names, and names of `containerd.VERSIONS`.
        options: None is the ordinary ones.

    Raises:
        BuildError: A part cannot be built.
        MachineError: This machine cannot run clusters.
        NodeError: Something is not ready in time.
    """
    options = options or Options()
    directory = directory.resolve()  # as processes will name it
    client = _client()
    if options.keep:
        stop_kept()
        kept.remember(directory)
    with contextlib.closing(client):
        cluster = Cluster(client, options)
        try:
            cluster.boot(directory, nodes)
            yield cluster
        except BaseException:
            cluster.stop()
            raise
        if options.keep:
            cluster.leave()
        else:
            cluster.stop()


def stop_kept() -> None:
    """Remove the cluster that was kept, if there is one."""
    kept.stop()


def _client() -> docker.DockerClient:
    machine.ensure_daemon()
    labels.remove_leftovers_once()
    return docker.from_env(timeout=_DOCKER_TIMEOUT_S)
