"""A control plane of processes on this machine's loopback: etcd, kube-apiserver, and on demand more.

    with controlplane.start(directory) as plane:
        plane.kubectl("get", "nodes")

Needs neither root nor Docker. Each has its own ports, certificates and data, and logs to its
directory, so that several run side by side. Nothing outlives the process that started it.
"""

import base64
import collections.abc
import contextlib
import dataclasses
import functools
import json
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import urllib3

from tests.testbed import errors, kube, pki

ADMIN = "admin"
_MASTERS = ("system:masters",)
_HOST = "127.0.0.1"
# Three seconds on a quiet machine; two builds beside it made it twenty.
_READY_TIMEOUT_S = 90.0
_POLL_S = 0.05
# Another process may take a port between our look and the program's bind.
_ATTEMPTS = 3
_BUSY = "address already in use"
_LOG_TAIL_BYTES = 1500


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What runs, and how.

    Attributes:
        controller_manager: Also start the kube-controller-manager: service accounts, garbage
            collection, node life cycle.
        scheduler: Also start the kube-scheduler.
        api_server_flags: Added to the API server's, for example `--audit-log-path=…`.
        controller_manager_flags: Added to that one's.
        listen: The address the API server binds; nodes in containers reach no loopback.
        addresses: More names and addresses that its certificate holds for.
    """

    controller_manager: bool = False
    scheduler: bool = False
    api_server_flags: tuple[str, ...] = ()
    controller_manager_flags: tuple[str, ...] = ()
    listen: str = _HOST
    addresses: tuple[str, ...] = ()


class Program:
    """One process, which can be killed and started again."""

    def __init__(self, argv: list[str], *, log: pathlib.Path) -> None:
        self.name = pathlib.Path(argv[0]).name
        self.log = log
        self._argv = argv
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; what it says is added to the log."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*_dies_with_us(), *self._argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop it
                cwd=self.log.parent,
            )

    def kill(self) -> None:
        """End it at once: after SIGTERM an API server keeps its port for some 20 seconds."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, for example SIGSTOP and SIGCONT."""
        assert self._process is not None
        self._process.send_signal(number)

    def check(self) -> None:
        """Raise if it has ended by itself."""
        if self._process is not None and (code := self._process.poll()) is not None:
            raise errors.NodeError(f"{self.name} exited with {code}: {self.last_words()}")

    def last_words(self) -> str:
        """Return the end of the log."""
        said = self.log.read_bytes() if self.log.exists() else b""
        return said[-_LOG_TAIL_BYTES:].decode(errors="replace")

    def rss_bytes(self) -> int:
        """Return the resident memory of the process."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024


class ControlPlane:
    """A running control plane."""

    def __init__(self, directory: pathlib.Path, options: Options) -> None:
        self.directory = directory
        self.options = options
        self.authority = pki.authority("test-bed")
        self._etcd_port, self._peer_port, self.port = _free_ports(3)
        self.url = f"https://{_HOST}:{self.port}"
        self._write_certificates()
        self.kubeconfig = self.user(ADMIN, groups=_MASTERS)
        self.programs = {program.name: program for program in self._programs()}

    @property
    def etcd(self) -> Program:
        """The store."""
        return self.programs["etcd"]

    @property
    def api_server(self) -> Program:
        """The API server."""
        return self.programs["kube-apiserver"]

    @property
    def ca(self) -> pathlib.Path:
        """The file with the authority's certificate."""
        return self.directory / "ca.crt"

    def user(
        self, name: str, *, groups: tuple[str, ...] = (), server: str | None = None
    ) -> pathlib.Path:
        """Return a kubeconfig for a user with a certificate."""
        pair = self.authority.client(name, groups=groups)
        login = {
            "client-certificate-data": _base64(pair.certificate),
            "client-key-data": _base64(pair.key),
        }
        return self.write_kubeconfig(name, login, server=server)

    def write_kubeconfig(
        self, name: str, login: collections.abc.Mapping[str, object], *, server: str | None = None
    ) -> pathlib.Path:
        """Return a kubeconfig with any kind of login, for example `{"token": …}`."""
        ca = _base64(self.authority.pair.certificate)
        cluster = {"server": server or self.url, "certificate-authority-data": ca}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test-bed",
            "clusters": [{"name": "test-bed", "cluster": cluster}],
            "users": [{"name": name, "user": dict(login)}],
            "contexts": [{"name": "test-bed", "context": {"cluster": "test-bed", "user": name}}],
        }
        return self._write(f"{name.replace(':', '-')}.kubeconfig", json.dumps(document).encode())

    def kubectl(self, *words: str, stdin: str = "") -> str:
        """Run kubectl as an administrator; return what it prints.

        Raises:
            CommandError: It ended with another exit code than 0.
        """
        argv = (str(kube.programs() / "kubectl"), f"--kubeconfig={self.kubeconfig}", *words)
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, check=False, cwd=self.directory
        )
        if done.returncode != 0:
            said = ("kubectl", *words)
            raise errors.CommandError(said, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def get(self, path: str) -> bytes:
        """Return what the API server answers an administrator, for example of `/metrics`.

        Raises:
            NodeError: It is an error.
        """
        answer = self._http.request("GET", self.url + path, retries=False, timeout=30.0)
        if answer.status != 200:
            raise errors.NodeError(f"GET {path}: {answer.status} {answer.data[:200]!r}")
        return answer.data

    def ask(self, method: str, path: str, body: object) -> int:
        """Ask as an administrator, with a merge patch where it is one; return the status."""
        kind = "merge-patch+json" if method == "PATCH" else "json"
        answer = self._http.request(
            method,
            self.url + path,
            body=json.dumps(body).encode(),
            headers={"content-type": f"application/{kind}"},
            retries=False,
            timeout=30.0,
        )
        return answer.status

    def compact(self) -> None:
        """Make etcd forget all history, as it does every five minutes by itself."""
        http = urllib3.PoolManager()
        url = f"http://{_HOST}:{self._etcd_port}/v3/kv"
        found = http.request("POST", f"{url}/range", json={"key": "AA=="}, timeout=10.0).json()
        body = {"revision": found["header"]["revision"], "physical": True}
        http.request("POST", f"{url}/compaction", json=body, timeout=10.0)
        http.clear()

    def start(self) -> None:
        """Start everything and wait until the API server is ready.

        Raises:
            NodeError: A program ended, or nothing was ready in time.
        """
        for program in self.programs.values():
            if program.name not in _LATER:
                program.start()
        self.wait_ready()
        for program in self.programs.values():
            if program.name in _LATER:
                program.start()

    def stop(self) -> None:
        """Kill everything; the data stays."""
        for program in reversed(self.programs.values()):
            program.kill()
        self._http.clear()

    def wait_ready(self) -> None:
        """Wait until the API server is ready.

        Raises:
            NodeError: A program ended, or nothing was ready in time.
        """
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while not self._ready():
            for program in self.programs.values():
                program.check()
            if time.monotonic() > deadline:
                raise errors.NodeError(f"API server not ready: {self.api_server.last_words()}")
            time.sleep(_POLL_S)

    def _ready(self) -> bool:
        try:
            return (
                self._http.request("GET", f"{self.url}/readyz", retries=False, timeout=5.0).status
                == 200
            )
        except urllib3.exceptions.HTTPError:
            return False

    @functools.cached_property
    def _http(self) -> urllib3.PoolManager:
        pair = self.authority.client(ADMIN, groups=_MASTERS)
        certificate = self._write("probe.crt", pair.certificate)
        key = self._write("probe.key", pair.key)
        return urllib3.PoolManager(
            ca_certs=str(self.ca), cert_file=str(certificate), key_file=str(key)
        )

    def _write(self, name: str, data: bytes) -> pathlib.Path:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_bytes(data)
        return path

    def _write_certificates(self) -> None:
        private, public = pki.key_pair()
        self._write("sa.key", private)
        self._write("sa.pub", public)
        self._write_pair("ca", self.authority.pair)
        cluster = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", _SERVICE)
        hosts = ("localhost", _HOST, *cluster, *self.options.addresses)
        self._write_pair("apiserver", self.authority.server("kube-apiserver", hosts=hosts))
        kubelets = self.authority.client("kubelet-client", groups=_MASTERS)
        self._write_pair("kubelet-client", kubelets)

    def _write_pair(self, name: str, pair: pki.Pair) -> None:
        self._write(f"{name}.crt", pair.certificate)
        self._write(f"{name}.key", pair.key)

    def _programs(self) -> collections.abc.Iterator[Program]:
        yield self._program("etcd", self._etcd_flags())
        yield self._program("kube-apiserver", self._api_server_flags())
        if self.options.controller_manager:
            yield self._program("kube-controller-manager", self._controller_manager_flags())
        if self.options.scheduler:
            config = self.user("system:kube-scheduler")
            yield self._program("kube-scheduler", _component_flags(config))

    def _program(self, name: str, flags: collections.abc.Iterable[str]) -> Program:
        return Program([str(kube.programs() / name), *flags], log=self.directory / f"{name}.log")

    def _etcd_flags(self) -> tuple[str, ...]:
        clients = f"http://{_HOST}:{self._etcd_port}"
        peers = f"http://{_HOST}:{self._peer_port}"
        return (
            "--name=test-bed",
            f"--data-dir={self.directory / 'etcd'}",
            "--unsafe-no-fsync",  # what a test wrote need not survive the machine
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=test-bed={peers}",
        )

    def _api_server_flags(self) -> tuple[str, ...]:
        files = self.directory
        return (
            f"--etcd-servers=http://{_HOST}:{self._etcd_port}",
            f"--bind-address={self.options.listen}",
            f"--secure-port={self.port}",
            f"--client-ca-file={self.ca}",
            f"--tls-cert-file={files / 'apiserver.crt'}",
            f"--tls-private-key-file={files / 'apiserver.key'}",
            f"--service-account-issuer=https://{_SERVICE}",
            f"--service-account-signing-key-file={files / 'sa.key'}",
            f"--service-account-key-file={files / 'sa.pub'}",
            f"--kubelet-client-certificate={files / 'kubelet-client.crt'}",
            f"--kubelet-client-key={files / 'kubelet-client.key'}",
            f"--kubelet-certificate-authority={self.ca}",
            "--kubelet-preferred-address-types=InternalIP",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            "--service-cluster-ip-range=10.96.0.0/16",
            *self.options.api_server_flags,
        )

    def _controller_manager_flags(self) -> tuple[str, ...]:
        return (
            *_component_flags(self.user("system:kube-controller-manager")),
            f"--root-ca-file={self.ca}",
            f"--service-account-private-key-file={self.directory / 'sa.key'}",
            f"--cluster-signing-cert-file={self.ca}",
            f"--cluster-signing-key-file={self.directory / 'ca.key'}",
            "--use-service-account-credentials=true",
            "--allocate-node-cidrs=false",
            *self.options.controller_manager_flags,
        )


_SERVICE = "kubernetes.default.svc.cluster.local"
_LATER = ("kube-controller-manager", "kube-scheduler")
"""They give up when no API server answers."""


@contextlib.contextmanager
def start(
    directory: pathlib.Path, options: Options | None = None
) -> collections.abc.Iterator[ControlPlane]:
    """Start a control plane in an empty directory; kill it in the end.

    Raises:
        BuildError: The programs cannot be built.
        NodeError: A program ended, or nothing was ready in time.
    """
    plane = _started(directory, options or Options())
    try:
        yield plane
    finally:
        plane.stop()


def _started(directory: pathlib.Path, options: Options) -> ControlPlane:
    for attempt in range(1, _ATTEMPTS + 1):
        files = directory / f"attempt-{attempt}"
        files.mkdir(parents=True)
        plane = ControlPlane(files, options)
        try:
            plane.start()
        except errors.NodeError as error:
            plane.stop()
            if attempt == _ATTEMPTS or _BUSY not in str(error):
                raise
        except BaseException:
            plane.stop()
            raise
        else:
            return plane
    raise AssertionError("unreachable")


def _component_flags(kubeconfig: pathlib.Path) -> tuple[str, ...]:
    files = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    return (
        *(f"--{name}={kubeconfig}" for name in files),
        "--leader-elect=false",
        f"--bind-address={_HOST}",
        "--secure-port=0",
    )


def _dies_with_us() -> list[str]:
    """Let the kernel kill the program when the tests are killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig=KILL", "--"] if setpriv else []


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for found in sockets:
            found.bind((_HOST, 0))
        return [found.getsockname()[1] for found in sockets]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
