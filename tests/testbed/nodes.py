"""Nodes: containers with systemd as process 1 and a real containerd as a unit.

    with nodes.start(containerd="1.7") as node:
        node.agent("apply", "-f", "/srv/shims/shim.yaml")
        node.power_cut()

Inside, the checkout under test is mounted at /srv/rcm, so `rcm-agent` runs the lines that are in
the editor. Nothing is published to the machine; `Node.ip` is reachable from it, and `Node.gateway`
is the machine as the node sees it.
"""

import collections.abc
import contextlib
import enum
import pathlib
import shlex
import subprocess
import typing

import docker.models.containers

from tests.testbed import errors, image, labels, machine, node_containers, shell

CHECKOUT = node_containers.CHECKOUT
CONFIG = "/etc/containerd/config.toml"
SOCKET = "/run/containerd/containerd.sock"
# A node answered after 1.0 s here; the rest is for a machine that compiles at the same time.
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30


class NoFile(enum.Enum):
    """Stands for the absence of a file where None stands for the default one."""

    NO_FILE = "no file"


NO_FILE = NoFile.NO_FILE


class ContainerdProcess(typing.NamedTuple):
    """Which containerd runs: the same pair means the same process, never restarted.

    Attributes:
        pid: In the node.
        start_time: Clock ticks after boot, field 22 of proc(5).
    """

    pid: int
    start_time: int


class Node:
    """A running node."""

    def __init__(self, container: docker.models.containers.Container, *, containerd: str) -> None:
        self.containerd = containerd
        self._container = container
        self.name = str(self._container.name)

    def exec(
        self,
        argv: collections.abc.Sequence[str],
        *,
        check: bool = True,
        input: bytes | None = None,  # noqa: A002 -- as subprocess.run calls it
        timeout_s: float = 60.0,
        env: collections.abc.Mapping[str, str] | None = None,
    ) -> shell.Result:
        """Run a command as root in the node.

        Args:
            argv: The command; no shell looks at it.
            check: Whether another exit code than 0 is an error.
            input: Its stdin; None is an empty one.
            timeout_s: It is killed after that, with its children.
            env: Added to its environment.

        Raises:
            CommandError: It ended with another exit code than 0, and `check` is set.
            NodeError: The node does not run, or the deadline passed.
        """
        code, out, err = shell.run(self.name, argv, data=input, timeout_s=timeout_s, env=env)
        result = shell.Result(code, out.decode(errors="replace"), err.decode(errors="replace"))
        if check and code != 0:
            raise errors.CommandError(tuple(argv), code, result.stdout, result.stderr)
        return result

    def spawn(
        self,
        argv: collections.abc.Sequence[str],
        *,
        env: collections.abc.Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a command and return at once; its output can be read from the pipes.

        Killing the returned process only ends the view: kill the command itself in the node.
        """
        return subprocess.Popen(
            [*shell.command(self.name, env=env), *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def agent(
        self,
        *args: str,
        check: bool = True,
        timeout_s: float = 120.0,
        env: collections.abc.Mapping[str, str] | None = None,
    ) -> shell.Result:
        """Run `rcm-agent` of the checkout in the node."""
        return self.exec(["rcm-agent", *args], check=check, timeout_s=timeout_s, env=env)

    def read(self, path: str) -> bytes:
        """Return a file's content.

        Raises:
            CommandError: It cannot be read.
        """
        argv = ["cat", "--", path]
        code, out, err = shell.run(self.name, argv, data=None, timeout_s=60.0, env=None)
        if code != 0:
            raise errors.CommandError(tuple(argv), code, "", err.decode(errors="replace"))
        return out

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Write a file, with its directories; a reader sees the old content or the new one."""
        target = shlex.quote(path)
        script = (
            f'set -e; mkdir -p -- "$(dirname -- {target})"; new={target}.$$; '
            f'cat > "$new"; chmod {mode:o} "$new"; mv -f -- "$new" {target}'
        )
        self.exec(["sh", "-c", script], input=data)

    def exists(self, path: str) -> bool:
        """Tell whether there is anything at a path; a dangling link is something."""
        script = f"[ -e {shlex.quote(path)} ] || [ -L {shlex.quote(path)} ]"
        return self.exec(["sh", "-c", script], check=False).exit_code == 0

    def systemctl(self, *args: str, check: bool = True, timeout_s: float = 60.0) -> shell.Result:
        """Run `systemctl` in the node."""
        return self.exec(["systemctl", "--no-pager", *args], check=check, timeout_s=timeout_s)

    def journal(self, unit: str) -> str:
        """Return what a unit logged since the node booted."""
        argv = ["journalctl", "--no-pager", "--output=short-precise", f"--unit={unit}"]
        return self.exec(argv).stdout

    def ctr(self, *args: str, check: bool = True, timeout_s: float = 60.0) -> shell.Result:
        """Run `ctr` in the namespace of Kubernetes."""
        return self.exec(["ctr", "--namespace=k8s.io", *args], check=check, timeout_s=timeout_s)

    def import_image(self, archive: bytes) -> None:
        """Import an OCI archive, of whatever platform, where the CRI finds it."""
        argv = ["ctr", "--namespace=k8s.io", "images", "import", *self._import_flags(), "-"]
        self.exec(argv, input=archive)

    def import_pause(self) -> None:
        """Import the sandbox image."""
        self.ctr("images", "import", "/srv/pause.tar")

    def tag_image(self, existing: str, *names: str) -> None:
        """Give an image further names, for example a sandbox image that a configuration names."""
        self.ctr("images", "tag", "--force", existing, *names)

    def containerd_process(self) -> ContainerdProcess:
        """Return which containerd runs.

        Raises:
            NodeError: None does.
        """
        show = "systemctl show --property=MainPID --value containerd"
        script = f'pid=$({show}); [ "$pid" != 0 ] && cat "/proc/$pid/stat"'
        done = self.exec(["sh", "-c", script], check=False)
        if done.exit_code != 0:
            raise errors.NodeError(f"no containerd runs in {self.name}")
        fields = done.stdout.rpartition(")")[2].split()
        return ContainerdProcess(int(done.stdout.split()[0]), int(fields[19]))

    def wait_containerd(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Wait until containerd answers.

        Raises:
            NodeError: It does not in time, or the node died; with the end of its journal.
        """
        script = "until ctr --connect-timeout=1s version >/dev/null 2>&1; do sleep 0.05; done"
        try:
            self.exec(["sh", "-c", script], timeout_s=timeout_s)
        except errors.NodeError as error:
            raise errors.NodeError(f"{error}\n{self._last_words()}") from error

    def power_cut(self, *, wait: bool = True, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Kill everything at once and boot again: /run and /tmp are empty, the disk is as it was.

        The page cache of the machine survives, so this cannot show a missing fsync.

        Args:
            wait: Whether to wait until containerd answers again.
            timeout_s: For how long.

        Raises:
            NodeError: containerd does not answer in time, or the node died.
        """
        self.power_off()
        self.power_on(wait=wait, timeout_s=timeout_s)

    def power_off(self) -> None:
        """Kill everything at once."""
        self._container.kill("KILL")
        # kill() may return while Docker still thinks that it runs; a start would do nothing then.
        self._container.wait(timeout=_STOP_TIMEOUT_S)

    def power_on(self, *, wait: bool = True, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Boot, for example after `power_off()`; the address may be another one."""
        self._container.start()
        if wait:
            self.wait_containerd(timeout_s)

    def fill(self, archive: bytes) -> None:
        """Unpack a tar at the root, also before the first boot."""
        self._container.put_archive("/", archive)

    def remove(self) -> None:
        """Remove the container and its disk, whatever state it is in."""
        self._container.remove(force=True, v=True)

    @property
    def is_running(self) -> bool:
        """Tell whether process 1 lives."""
        self._container.reload()
        return bool(self._container.status == "running")

    @property
    def ip(self) -> str:
        """Return the address at which this machine reaches the node."""
        return self._network("IPAddress")

    @property
    def gateway(self) -> str:
        """Return the address at which the node reaches this machine."""
        return self._network("Gateway")

    def _network(self, field: str) -> str:
        self._container.reload()
        networks = self._container.attrs["NetworkSettings"]["Networks"]
        return str(next(iter(networks.values()))[field])

    def _import_flags(self) -> tuple[str, ...]:
        # Without it, a Wasm image is not imported: its platform is not this machine's. 2.x import
        # by the transfer service, which since 2.2 leaves a foreign platform packed until it is
        # first run; --local is the old way.
        local = () if self.containerd.startswith("1.") else ("--local",)
        return ("--all-platforms", *local)

    def _last_words(self) -> str:
        if not self.is_running:
            logs = self._container.logs(tail=20).decode(errors="replace")
            return f"the node is dead; its last words: {logs}"
        argv = ["journalctl", "--no-pager", "--output=cat", "--unit=containerd", "--lines=20"]
        return self.exec(argv, check=False).stdout


@contextlib.contextmanager
def start(
    *,
    containerd: str,
    config: bytes | NoFile | None = None,
    files: collections.abc.Mapping[str, bytes] | None = None,
    mounts: collections.abc.Mapping[pathlib.Path, str] | None = None,
    checkout: pathlib.Path = CHECKOUT,
    wait: bool = True,
    timeout_s: float = _START_TIMEOUT_S,
) -> collections.abc.Iterator[Node]:
    """Start a node and remove it, with its disk, when the block ends.

    Args:
        containerd: A name of `containerd.VERSIONS`.
        config: containerd's configuration; None is a plain one for this release.
        files: Further files that are there before the first boot, by path.
        mounts: Directories of this machine, read-only, and where the node sees them.
        checkout: Whose `rcm_agent` the node runs.
        wait: Whether to wait for containerd, and import the sandbox image.
        timeout_s: For how long.

    Raises:
        NodeError: containerd does not answer in time.
        BuildError: The node's image cannot be built.
    """
    machine.ensure_daemon()
    labels.remove_leftovers_once()
    container = node_containers.container(containerd, mounts or {}, checkout=checkout)
    for path, data in _first_files(containerd, config, files).items():
        container.with_copy_into_container(data, path)
    with container:
        node = Node(container.get_wrapped_container(), containerd=containerd)
        if wait:
            node.wait_containerd(timeout_s)
            node.import_pause()
        yield node


def _first_files(
    version: str,
    config: bytes | NoFile | None,
    files: collections.abc.Mapping[str, bytes] | None,
) -> dict[str, bytes]:
    found = dict(files or {})
    if config is None:
        config = image.default_config(version)
    if isinstance(config, bytes):
        found[CONFIG] = config
    return found
