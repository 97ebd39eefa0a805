"""The files that the demo applies, as a user would write them.

Called by `story`, which puts them into the demo's directory.
"""

import collections.abc
import os
import pathlib
import textwrap

from tests.demo import web
from tests.testbed import nodes, program_images

HELLO_IMAGE = "rcm.test/hello:1"
GREETING = "Hello from WebAssembly!"

_KUSTOMIZATION = """\
resources:
  - {overlay}
images:
  - {{name: rcm-agent, newName: {agent[0]}, newTag: "{agent[1]}"}}
  - {{name: rcm-controller, newName: {controller[0]}, newTag: "{controller[1]}"}}
patches:
  # This demo's shims come from a private address, which agents refuse unless told.
  - target: {{kind: DaemonSet, name: rcm-agent}}
    patch: |-
      - {{op: add, path: /spec/template/spec/containers/0/args/-, value: --allow-private}}
"""

_SHIM = """\
apiVersion: runtime.spinkube.dev/v1alpha1
kind: Shim
metadata:
  name: wasmtime
spec:
  version: {version}
  fetchStrategy:
    platforms:
      - os: linux
        arch: {arch}
        location: {location}
        sha256: {sha256}
  runtimeClass:
    name: wasmtime
    handler: wasmtime
  rolloutStrategy:
    type: rolling
    rolling:
      maxUpdate: 1        # one node at a time
      canary:
        soakSeconds: 2
"""

# Pods are spread over all nodes, ready for Wasm or not: so some wait until the last one is.
_HELLO = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: hello
spec:
  replicas: 4
  selector:
    matchLabels: {{app: hello}}
  template:
    metadata:
      labels: {{app: hello}}
    spec:
      runtimeClassName: wasmtime
      containers:
        - name: hello
          image: {image}
          readinessProbe:
            httpGet: {{path: /, port: 8080}}
            periodSeconds: 1
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: DoNotSchedule
          nodeAffinityPolicy: Ignore
          labelSelector:
            matchLabels: {{app: hello}}
"""

_CLIENT = """\
apiVersion: v1
kind: Pod
metadata:
  name: client
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: client
      image: {image}
      args: [{addresses}]
      command:
        - python3
        - -uc
        - |
{source}"""

# Asks every server in turn, on a new connection, and counts.
_SOURCE = """\
import collections, http.client, itertools, sys, time
seen, told = collections.Counter(), 0.0
for address in itertools.cycle(sys.argv[1:]):
    try:
        server = http.client.HTTPConnection(address, 8080, timeout=2)
        server.request("GET", "/")
        seen[server.getresponse().read().decode().strip()] += 1
        server.close()
    except (OSError, http.client.HTTPException) as error:
        seen[f"FAILED {address}: {error}"] += 1
    if time.monotonic() > told + 0.5:
        print("; ".join(f"{count} x {text}" for text, count in seen.items()))
        told = time.monotonic()
    time.sleep(0.01)
"""


def install(directory: pathlib.Path) -> None:
    """Write a user's own overlay: the names of the images, and what differs.

    Raises:
        BuildError: An image cannot be built.
    """
    directory.mkdir(parents=True, exist_ok=True)
    overlay = nodes.CHECKOUT / "manifests" / "overlays" / "vanilla"
    text = _KUSTOMIZATION.format(
        overlay=os.path.relpath(overlay.resolve(), directory.resolve()),
        agent=program_images.agent().ref.rsplit(":", 1),
        controller=program_images.controller().ref.rsplit(":", 1),
    )
    (directory / "kustomization.yaml").write_text(text)


def shim(release: web.Release, *, arch: str) -> str:
    """Return the Shim of a version."""
    return _SHIM.format(
        version=release.version, location=release.location, sha256=release.sha256, arch=arch
    )


def hello() -> str:
    """Return a Deployment of Wasm servers."""
    return _HELLO.format(image=HELLO_IMAGE)


def client(addresses: collections.abc.Iterable[str], *, image: str) -> str:
    """Return an ordinary Pod that asks servers until it is deleted.

    Args:
        addresses: Of the servers.
        image: With Python in it.
    """
    return _CLIENT.format(
        image=image,
        addresses=", ".join(f'"{each}"' for each in addresses),
        source=textwrap.indent(_SOURCE, " " * 10),
    )
