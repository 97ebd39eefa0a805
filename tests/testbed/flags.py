"""The flags with which the parts of a control plane start. Called by `controlplane` only."""

import dataclasses
import pathlib

HOST = "127.0.0.1"
SERVICE = "kubernetes.default.svc.cluster.local"


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where one control plane is.

    Attributes:
        directory: Of certificates, data and logs.
        etcd_port: For the API server, without TLS.
        peer_port: For other etcds, of which there are none.
        port: Of the API server.
        listen: The address the API server binds.
    """

    directory: pathlib.Path
    etcd_port: int
    peer_port: int
    port: int
    listen: str


def etcd(place: Place) -> tuple[str, ...]:
    """Return etcd's: alone, without TLS."""
    clients = f"http://{HOST}:{place.etcd_port}"
    peers = f"http://{HOST}:{place.peer_port}"
    return (
        "--name=test-bed",
        f"--data-dir={place.directory / 'etcd'}",
        "--unsafe-no-fsync",  # what a test wrote need not survive the machine
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=test-bed={peers}",
    )


def api_server(place: Place) -> tuple[str, ...]:
    """Return the API server's: RBAC, and kubelets held to their own Node."""
    files = place.directory
    ca = files / "ca.crt"
    return (
        f"--etcd-servers=http://{HOST}:{place.etcd_port}",
        f"--bind-address={place.listen}",
        f"--secure-port={place.port}",
        f"--client-ca-file={ca}",
        f"--tls-cert-file={files / 'apiserver.crt'}",
        f"--tls-private-key-file={files / 'apiserver.key'}",
        f"--service-account-issuer=https://{SERVICE}",
        f"--service-account-signing-key-file={files / 'sa.key'}",
        f"--service-account-key-file={files / 'sa.pub'}",
        f"--kubelet-client-certificate={files / 'kubelet-client.crt'}",
        f"--kubelet-client-key={files / 'kubelet-client.key'}",
        f"--kubelet-certificate-authority={ca}",
        "--kubelet-preferred-address-types=InternalIP",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--service-cluster-ip-range=10.96.0.0/16",
    )


def controller_manager(place: Place, kubeconfig: pathlib.Path) -> tuple[str, ...]:
    files = place.directory
    return (
        *component(kubeconfig),
        f"--root-ca-file={files / 'ca.crt'}",
        f"--service-account-private-key-file={files / 'sa.key'}",
        f"--cluster-signing-cert-file={files / 'ca.crt'}",
        f"--cluster-signing-key-file={files / 'ca.key'}",
        "--use-service-account-credentials=true",
        "--allocate-node-cidrs=false",
    )


def component(kubeconfig: pathlib.Path) -> tuple[str, ...]:
    files = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    return (
        *(f"--{name}={kubeconfig}" for name in files),
        "--leader-elect=false",
        f"--bind-address={HOST}",
        "--secure-port=0",
    )
