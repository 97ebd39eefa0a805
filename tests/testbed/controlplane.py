"""A control plane of processes on this machine: etcd, kube-apiserver, and on demand more.

    with controlplane.start(directory) as plane:
        plane.kubectl("get", "nodes")

Needs neither root nor Docker. Each has its own ports, certificates and data, and logs to its
directory, so that several run side by side. Nothing outlives the process that started it, unless
that is asked for.
"""

import collections.abc
import contextlib
import dataclasses
import functools
import json
import pathlib
import socket
import subprocess
import time

import urllib3

from tests.testbed import errors, flags, kube, pki, plane_files, process

ADMIN = "admin"
# Three seconds on a quiet machine; two builds beside it made it twenty.
_READY_TIMEOUT_S = 90.0
_POLL_S = 0.05
# Another process may take a port between our look and the program's bind.
_ATTEMPTS = 3
_BUSY = "address already in use"


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
        outlives_us: Whether the programs run on when this process ends.
    """

    controller_manager: bool = False
    scheduler: bool = False
    api_server_flags: tuple[str, ...] = ()
    controller_manager_flags: tuple[str, ...] = ()
    listen: str = flags.HOST
    addresses: tuple[str, ...] = ()
    outlives_us: bool = False


class ControlPlane:
    """A running control plane."""

    def __init__(self, directory: pathlib.Path, options: Options) -> None:
        self.directory = directory
        self.options = options
        self.authority = pki.authority("test-bed")
        etcd_port, peer_port, self.port = _free_ports(3)
        self._place = flags.Place(directory, etcd_port, peer_port, self.port, options.listen)
        self.url = f"https://{options.listen}:{self.port}"
        cluster = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", flags.SERVICE)
        hosts = ("localhost", flags.HOST, options.listen, *cluster, *options.addresses)
        self._files = plane_files.PlaneFiles(directory, self.authority)
        self._files.write_certificates(hosts)
        self.kubeconfig = self.user(ADMIN, groups=plane_files.MASTERS)
        self.programs = {program.name: program for program in self._programs()}

    @property
    def etcd(self) -> process.Program:
        """The store."""
        return self.programs["etcd"]

    @property
    def api_server(self) -> process.Program:
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
        return self.write_kubeconfig(name, self._files.login(name, groups), server=server)

    def write_kubeconfig(
        self, name: str, login: collections.abc.Mapping[str, object], *, server: str | None = None
    ) -> pathlib.Path:
        """Return a kubeconfig with any kind of login, for example `{"token": …}`."""
        return self._files.write_kubeconfig(name, login, server=server or self.url)

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
        status, data = self.answer(path)
        if status != 200:
            raise errors.NodeError(f"GET {path}: {status} {data[:200]!r}")
        return data

    def answer(self, path: str) -> tuple[int, bytes]:
        """Return status and body of what the API server answers an administrator.

        Raises:
            NodeError: It does not answer.
        """
        try:
            said = self._http.request("GET", self.url + path, retries=False, timeout=30.0)
        except urllib3.exceptions.HTTPError as error:
            raise errors.NodeError(f"GET {path}: {error}") from error
        return said.status, said.data

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
        url = f"http://{flags.HOST}:{self._place.etcd_port}/v3/kv"
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

    def leave(self) -> None:
        """Let everything run on without us."""
        for program in self.programs.values():
            program.leave()
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
        certificate, key = self._files.write_pair(
            "probe", self.authority.client(ADMIN, groups=plane_files.MASTERS)
        )
        return urllib3.PoolManager(
            ca_certs=str(self.ca), cert_file=str(certificate), key_file=str(key)
        )

    def _programs(self) -> collections.abc.Iterator[process.Program]:
        own = self.options.api_server_flags
        yield self._program("etcd", flags.etcd(self._place))
        yield self._program("kube-apiserver", (*flags.api_server(self._place), *own))
        if self.options.controller_manager:
            yield self._program("kube-controller-manager", self._controller_manager())
        if self.options.scheduler:
            config = self.user("system:kube-scheduler")
            yield self._program("kube-scheduler", flags.component(config))

    def _controller_manager(self) -> tuple[str, ...]:
        config = self.user("system:kube-controller-manager")
        own = self.options.controller_manager_flags
        return (*flags.controller_manager(self._place, config), *own)

    def _program(self, name: str, words: collections.abc.Iterable[str]) -> process.Program:
        argv = [str(kube.programs() / name), *words]
        log = self.directory / f"{name}.log"
        return process.Program(argv, log=log, outlives_us=self.options.outlives_us)


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
    plane = started(directory, options or Options())
    try:
        yield plane
    finally:
        plane.stop()


def started(directory: pathlib.Path, options: Options) -> ControlPlane:
    """Start a control plane in an empty directory, for a caller who stops it.

    Raises:
        BuildError: The programs cannot be built.
        NodeError: A program ended, or nothing was ready in time.
    """
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


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for found in sockets:
            found.bind((flags.HOST, 0))
        return [found.getsockname()[1] for found in sockets]
