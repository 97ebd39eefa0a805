"""`make demo-node`: the agent's main job on a real node, without a cluster, command by command.

A node (a container with systemd and containerd) gets the reference shim, runs a Wasm module with
it, is upgraded while a Wasm container runs, and is left as it was.
"""

import hashlib
import os
import sys
import time

from tests.demo import promises
from tests.testbed import nodes, shims
from tests.workloads import images, modules, pods

VERSION = os.environ.get("CONTAINERD", "2.3")
HANDLER = "wasmtime"
BOLD, PLAIN = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() else ("", "")

MANIFEST = """\
apiVersion: runtime.spinkube.dev/v1alpha1
kind: Shim
metadata: {{name: wasmtime}}
spec:
  version: "{variant}"
  fetchStrategy:
    platforms:
      - {{os: linux, arch: amd64, location: "file://{path}", sha256: {digest}}}
      - {{os: linux, arch: arm64, location: "file://{path}", sha256: {digest}}}
  runtimeClass: {{name: wasmtime, handler: wasmtime}}
"""


def manifest(variant: str) -> str:
    """Return the Shim of one build of the reference shim, as the node sees it."""
    archive = shims.archive(variant)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    path = f"/srv/shims/{variant}/{archive.name}"
    return MANIFEST.format(variant=variant, path=path, digest=digest)


def main() -> None:
    """Run the demo; any step that fails ends it with an error."""
    began = time.monotonic()
    with nodes.start(containerd=VERSION, mounts={shims.build(): "/srv/shims"}) as node:
        Demo(node).run()
    print(f"\nThe demo took {time.monotonic() - began:.1f} s.")


class Demo:
    """One node and the story told on it."""

    def __init__(self, node: nodes.Node) -> None:
        self.node = node

    def run(self) -> None:
        """Install, run, upgrade, remove."""
        self.say(f"A node with {self.node.exec(['containerd', '--version']).stdout.strip()}")
        first = self.checksum()
        for variant in ("v0.1.0", "v0.2.0"):
            self.node.write(f"/root/shim-{variant}.yaml", manifest(variant).encode())
        self.say("What would be done, and why")
        self.agent("plan", "-f", "/root/shim-v0.1.0.yaml")
        self.say("Install: one restart of containerd, proven by a sandbox")
        self.agent("apply", "-f", "/root/shim-v0.1.0.yaml")
        self.say("A Wasm module through containerd, with our handler")
        self.hello("hello", "Hello from WebAssembly!")
        self.upgrade()
        self.say("Remove: nothing stays")
        self.agent("remove", "wasmtime")
        promises.demand(self.checksum() == first, "config.toml is not what it was")
        print("config.toml is what it was, byte for byte.")
        left = self.node.exec(["find", "/opt/rcm"], check=False).stdout.split()
        binaries = [each for each in left if "/bin/" in each or "/store/" in each]
        promises.demand(not binaries, f"left behind: {binaries}")
        print(f"Left in /opt/rcm: {left or 'nothing'}")

    def upgrade(self) -> None:
        """Swap the shim while a container of the old one runs."""
        self.say("Upgrade while a Wasm container runs: no restart")
        self.node.import_image(
            images.image("rcm.test/stay:1", modules.say_and_stay("still here\n"))
        )
        with pods.sandbox(self.node, "stay", handler=HANDLER) as pod:
            container = pod.run("rcm.test/stay:1")
            pod.wait_log("still here")
            before = self.node.containerd_process()
            print(f"containerd before: PID {before.pid}, started at tick {before.start_time}")
            self.agent("apply", "-f", "/root/shim-v0.2.0.yaml")
            after = self.node.containerd_process()
            print(f"containerd after:  PID {after.pid}, started at tick {after.start_time}")
            promises.demand(before == after, "containerd restarted")
            promises.demand(pod.state(container).state == pods.RUNNING, "the container ended")
            print("The first container still runs.")
            self.hello("hello-again", "Hello from the new version!")
            self.agent("status")
            pod.stop(container)

    def hello(self, name: str, text: str) -> None:
        """Run a module to its end and show what it printed."""
        reference = f"rcm.test/{name}:1"
        self.node.import_image(images.image(reference, modules.say(text)))
        with pods.sandbox(self.node, name, handler=HANDLER) as pod:
            code = pod.wait_exit(pod.run(reference))
            print(f"the module printed: {pod.log()}   (exit code {code})")
            promises.demand((pod.log(), code) == (text, 0), f"not {text!r}, or not 0")

    def agent(self, *arguments: str) -> None:
        """Run the agent in the node and show what it says."""
        print(f"$ rcm-agent {' '.join(arguments)}")
        done = self.node.agent(*arguments, "--progress=terminal", check=False)
        print(done.stderr + done.stdout, end="")
        promises.demand(done.exit_code == 0, f"rcm-agent ended with {done.exit_code}")

    def checksum(self) -> str:
        """Show and return the checksum of containerd's configuration."""
        print("$ sha256sum /etc/containerd/config.toml")
        line = self.node.exec(["sha256sum", nodes.CONFIG]).stdout
        print(line, end="")
        return line

    def say(self, title: str) -> None:
        """Print a headline."""
        print(f"\n{BOLD}== {title}{PLAIN}")
