"""What the tests of the agent on real nodes share: Shims, traps, and a view of the host.

`Host` is a node with words for what these tests do and see. Its state is looked at from inside
(`inside.py`), in one go; tests compare two looks, or a look with what they expect.
"""

import base64
import collections.abc
import contextlib
import dataclasses
import hashlib
import json
import pathlib
import re
import shlex
import subprocess
import time

from tests.containerd import broken
from tests.testbed import nodes, pause, shell, shims
from tests.workloads import images, modules, pods

HERE = "/srv/rcm/tests/containerd"
LINKS = "/opt/rcm/bin"
WASM = "rcm.test/stay:1"
SWITCH_IS_DONE = """
until systemctl list-units --plain 'rcm-switch.*.service' | grep -q exited; do sleep 0.05; done
"""
_ENV = {
    "PYTHONPATH": "/srv/rcm:/srv/rcm-deps",
    "PYTHONPYCACHEPREFIX": "/var/cache/rcm-pycache",
}
_MANIFEST = """\
apiVersion: runtime.spinkube.dev/v1alpha1
kind: Shim
metadata: {{name: {name}}}
spec:
  fetchStrategy:
    platforms:
      - {{os: linux, arch: amd64, location: "file://{path}", sha256: {digest}}}
      - {{os: linux, arch: arm64, location: "file://{path}", sha256: {digest}}}
  runtimeClass: {{name: {name}, handler: {handler}}}
"""

# In front of containerd: does what a containerd does whose configuration is wrong, once it has
# a runtime of ours. `config dump` and all else goes through, because it has arguments.
_TRAP = """\
#!/bin/sh
if [ $# = 0 ] && grep -rqs {what} /etc/containerd /run/rcm --include='*.toml'; then
    {do}
fi
exec /usr/bin/containerd "$@"
"""
_TRAPPED = "/usr/local/bin/containerd"
_DEAD = """\
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime", \
"io.containerd.cri.v1.images"]
"""
TRAPS = {
    "ends at once": "echo 'containerd: no such luck' >&2; exit 1",
    "never ready": "exec sleep 1000",
    "CRI is dead": "exec /usr/bin/containerd --config /root/dead.toml",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Shim:
    """A Shim to install: a build of the reference shim, or one that is broken."""

    name: str = "wasmtime"
    variant: str = "v0.1.0"
    handler: str = ""

    @property
    def file(self) -> pathlib.Path:
        """The artifact on this machine."""
        if self.variant in broken.WAYS:
            return broken.build() / self.variant / broken.BINARY
        return shims.archive(self.variant)

    @property
    def digest(self) -> str:
        """Of the artifact: its directory in the store."""
        return hashlib.sha256(self.file.read_bytes()).hexdigest()

    @property
    def link(self) -> str:
        """The stable path."""
        return f"{LINKS}/containerd-shim-{self.handler or self.name}-v1"

    def manifest(self) -> str:
        """Return the Shim as a document."""
        where = "/srv/broken" if self.variant in broken.WAYS else "/srv/shims"
        return _MANIFEST.format(
            name=self.name,
            handler=self.handler or self.name,
            path=f"{where}/{self.variant}/{self.file.name}",
            digest=self.digest,
        )


LEAK = "cleaning leaked shim process"
"""What containerd logs of a shim that it forgot. Nodes are shared, and journals long."""
OLD = Shim()
NEW = Shim(variant="v0.2.0")
SECOND = Shim(name="second")
UNPATCHED = Shim(variant="v0.1.0-nopids")


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """A host at one instant.

    Attributes:
        config: Every file below /etc/containerd.
        files: Inode, size, times and target of everything below /etc/containerd, /opt/rcm and
            /run/rcm: two equal ones mean that nobody wrote.
        containerd: Which process runs.
        starts: How often the unit was started since the node booted.
        units: systemd's units that are ours.
        processes: Those that run a binary of the store, with its path.
    """

    config: dict[str, bytes]
    files: dict[str, list[object]]
    containerd: nodes.ContainerdProcess
    starts: int
    units: list[str]
    processes: dict[str, str]

    @classmethod
    def of(cls, found: dict) -> "Look":
        """Return what `inside.look` found."""
        config = {path: base64.b64decode(data) for path, data in found["config"].items()}
        process = nodes.ContainerdProcess(*found["containerd"])
        return cls(**{**found, "config": config, "containerd": process})

    @property
    def remains(self) -> list[str]:
        """Everything of ours on the host, but for the lock, the restarts and empty directories."""
        ours = (path for path in self.files if path.startswith(("/opt/rcm/", "/run/rcm/")))
        known = {"/run/rcm/lock", "/run/rcm/restarts.json"}
        return sorted(path for path in ours if path not in known)

    @property
    def half_written(self) -> list[str]:
        """What a killed run may have left."""
        ends = (".rcm-tmp", "/run/rcm/rcm.toml", "/run/rcm/check")
        return sorted(path for path in self.files if path.endswith(ends))

    @property
    def stored(self) -> list[str]:
        """Digests in the store."""
        inside = "/opt/rcm/store/sha256/"
        found = (path.removeprefix(inside) for path in self.files if path.startswith(inside))
        return sorted(name for name in found if "/" not in name)

    def written_since(self, before: "Look") -> list[str]:
        """Return what was written, renamed, removed or given other times, but for /run."""
        paths = {path for path, _ in _items(self.files) ^ _items(before.files)}
        return sorted(path for path in paths if not path.startswith("/run/"))

    def untouched_since(self, before: "Look") -> bool:
        """Tell whether configuration, store, links and containerd are what they were.

        The agent's own directories may have come, empty.
        """
        return (
            self.remains == before.remains
            and self.containerd == before.containerd
            and self.units == before.units
            and not any(path.startswith("/etc/") for path in self.written_since(before))
        )


def _items(files: dict[str, list[object]]) -> set[tuple[str, str]]:
    return {(path, str(stat)) for path, stat in files.items()}


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of the agent came to.

    Attributes:
        code: Its exit code.
        out: What it printed.
        events: What it told, line by line.
        seconds: It took.
    """

    code: int
    out: str
    events: list[dict]
    seconds: float = 0.0

    @classmethod
    def of(cls, code: int, out: str, err: str, seconds: float = 0.0) -> "Outcome":
        """Read what the agent said; anything that is no event is a failure of the agent."""
        try:
            events = [json.loads(line) for line in err.splitlines()]
        except ValueError:
            raise AssertionError(f"exit code {code}, and not in its own words: {err}") from None
        return cls(code, out, events, seconds)

    @property
    def steps(self) -> list[str]:
        """The steps that it took or tried."""
        return [event["step"] for event in self.events if event["event"] == "step"]

    @property
    def error(self) -> str:
        """What it says is wrong, empty if nothing is."""
        return self._error().get("message", "")

    @property
    def advice(self) -> str:
        """What it says is to be done."""
        return self._error().get("advice", "")

    @property
    def kind(self) -> str:
        """The type of the error."""
        return self._error().get("kind", "")

    @property
    def warnings(self) -> list[str]:
        """What it warned of."""
        return [event["message"] for event in self.events if event.get("level") == "warning"]

    def _error(self) -> dict:
        return next((e for e in self.events if e.get("level") == "error"), {})


class Host:
    """A node as these tests see it."""

    def __init__(self, node: nodes.Node) -> None:
        self.node = node

    @property
    def asks_for_pids(self) -> bool:
        """Tell whether this containerd ends containers whose shim does not answer Pids."""
        return self.node.containerd != "1.6"

    # --- the agent ----------------------------------------------------------------------------

    def apply(self, *wanted: Shim, flags: collections.abc.Sequence[str] = ()) -> Outcome:
        """Run `apply` with these Shims in one file."""
        return self.agent("apply", "-f", self.manifest(*wanted), *flags)

    def remove(self, *names: str, flags: collections.abc.Sequence[str] = ()) -> Outcome:
        """Run `remove`."""
        return self.agent("remove", *names, *flags)

    def agent(self, *arguments: str, timeout_s: float = 120) -> Outcome:
        """Run any command of the agent."""
        return self._outcome(["rcm-agent", *arguments], timeout_s=timeout_s)

    def interfere(self, *arguments: str, timeout_s: float = 120, **spec: object) -> Outcome:
        """Run the agent below `killed.py`, which tells what `spec` may say."""
        script = ["python3", "-P", f"{HERE}/killed.py", "run", json.dumps(spec)]
        return self._outcome([*script, *arguments], timeout_s=timeout_s)

    def sweep(self, timeout_s: float, **spec: object) -> list[dict]:
        """Kill the agent at every point; what came of each."""
        script = ["python3", "-P", f"{HERE}/killed.py", "sweep", json.dumps(spec)]
        done = self.node.exec(script, env=_ENV, timeout_s=timeout_s, check=False)
        assert done.exit_code == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def background(self, *arguments: str, **spec: object) -> subprocess.Popen[bytes]:
        """Start the agent below `killed.py`; it goes on when `go_on` is called."""
        self.node.exec(["rm", "-f", "/run/go-on", "/run/waiting"])
        script = ["python3", "-P", f"{HERE}/killed.py", "run", json.dumps(spec)]
        started = self.node.spawn([*script, *arguments], env=_ENV)
        waiting = "until [ -e /run/waiting ]; do sleep 0.05; done"
        self.node.exec(["sh", "-c", waiting], timeout_s=30)
        return started

    def go_on(self) -> None:
        """Let the one in the background go on."""
        self.node.exec(["touch", "/run/go-on"])

    def manifest(self, *wanted: Shim, path: str = "/root/shims.yaml") -> str:
        """Write a file with these Shims and return its path."""
        text = "---\n".join(shim.manifest() for shim in wanted)
        self.node.write(path, text.encode())
        return path

    def status(self) -> dict:
        """Return what `status` says."""
        return json.loads(self.agent("status", "-o", "json").out)

    def _outcome(self, argv: list[str], *, timeout_s: float) -> Outcome:
        began = time.monotonic()
        done = self.node.exec(argv, check=False, timeout_s=timeout_s, env=_ENV)
        seconds = time.monotonic() - began
        return Outcome.of(done.exit_code, done.stdout, done.stderr, seconds)

    # --- the host -----------------------------------------------------------------------------

    def look(self) -> Look:
        """Look at the host."""
        done = self.node.exec(["python3", "-P", f"{HERE}/inside.py", "look"], env=_ENV)
        return Look.of(json.loads(done.stdout))

    def keep(self) -> None:
        """Remember the host as it is now."""
        self._inside("keep")

    def fresh(self, *, restart: bool = False) -> None:
        """Bring the host back to what was remembered, if it is not there."""
        self._inside("fresh", *(["--restart"] if restart else []))

    def fresh_budget(self) -> None:
        """Forget the restarts of containerd, the agent's count and systemd's."""
        self.sh("rm -f /run/rcm/restarts.json; systemctl reset-failed containerd")

    def _inside(self, *words: str) -> None:
        self.node.exec(["python3", "-P", f"{HERE}/inside.py", *words], env=_ENV)

    def sh(self, script: str, *, check: bool = True) -> shell.Result:
        """Run a line of shell."""
        return self.node.exec(["sh", "-ec", script], check=check)

    def link(self, shim: Shim) -> str:
        """Return where a stable path leads to."""
        return self.node.exec(["readlink", shim.link], check=False).stdout.strip()

    def trap(self, kind: str, *, what: str = "containerd-shim-", lasting: bool = False) -> None:
        """Have containerd fail in one of the `TRAPS` once its configuration has `what`."""
        script = _TRAP.format(what=what, do=TRAPS[kind])
        self.node.write(_TRAPPED, script.encode(), 0o755)
        self.node.write("/root/dead.toml", _DEAD.encode())
        where = "/etc" if lasting else "/run"
        drop_in = f"[Service]\nExecStart=\nExecStart={_TRAPPED}\n"
        path = f"{where}/systemd/system/containerd.service.d/trap.conf"
        self.node.write(path, drop_in.encode())
        self.node.systemctl("daemon-reload")

    def sandbox_works(self, handler: str = "runc") -> None:
        """Start a sandbox through CRI, and end it; a CriError if that fails."""
        with pods.sandbox(self.node, "works", handler=handler):
            pass

    def await_cri(self, *, timeout_s: float) -> float:
        """Wait until a sandbox can be started, and return how long that took."""
        began = time.monotonic()
        while True:
            try:
                self.sandbox_works()
            except pods.CriError:
                assert time.monotonic() - began < timeout_s, self.node.journal("containerd")[-3000:]
                time.sleep(0.2)
            else:
                return time.monotonic() - began


# --- containers --------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Running:
    """A running container, to be found again."""

    host: Host
    pod: pods.Pod
    container: str
    process: str

    @property
    def lives(self) -> bool:
        """Tell whether it is the same process, and CRI knows it as running."""
        return self.pod.state(self.container).state == pods.RUNNING and self.process == _process(
            self.host.node, self.container
        )

    @property
    def shim(self) -> str:
        """The binary that its sandbox's shim runs."""
        return shim_of(self.host.node, self.pod)


@contextlib.contextmanager
def plain(host: Host) -> collections.abc.Iterator[Running]:
    """Run a container of runc."""
    with pods.sandbox(host.node, "plain", handler="runc") as pod:
        container = pod.run(pause.REF)
        yield Running(host, pod, container, _process(host.node, container))


@contextlib.contextmanager
def wasm(
    host: Host, *, handler: str = "wasmtime", name: str = "guest"
) -> collections.abc.Iterator[Running]:
    """Run a Wasm container that stays."""
    host.node.import_image(images.image(WASM, modules.say_and_stay("here\n")))
    with pods.sandbox(host.node, name, handler=handler) as pod:
        container = pod.run(WASM)
        pod.wait_log("here")
        yield Running(host, pod, container, _process(host.node, container))


def hello(host: Host, text: str, *, handler: str = "wasmtime") -> tuple[str, int]:
    """Run a module to its end; what it printed, and its exit code."""
    host.node.import_image(images.image("rcm.test/hello:1", modules.say(text)))
    with pods.sandbox(host.node, "hello", handler=handler) as pod:
        code = pod.wait_exit(pod.run("rcm.test/hello:1"))
        return pod.log(), code


def shim_of(node: nodes.Node, pod: pods.Pod) -> str:
    """Return the binary that the shim of a sandbox runs."""
    found = node.exec(["pgrep", "--full", "--", f"-id {pod.id}"]).stdout.split()
    return node.exec(["readlink", f"/proc/{found[0]}/exe"]).stdout.strip()


def _process(node: nodes.Node, task: str) -> str:
    """Return pid and start time of a task's process, empty if there is none."""
    pid = re.search(rf"^{task}\s+(\d+)\s+RUNNING", node.ctr("task", "list").stdout, re.MULTILINE)
    if pid is None:
        return ""
    stat = node.exec(["cat", f"/proc/{pid[1]}/stat"], check=False).stdout
    return f"{pid[1]} {stat.rpartition(')')[2].split()[19]}" if stat else ""


def quoted(*words: str) -> str:
    """Return words for a shell."""
    return shlex.join(words)
