"""The proof that a handler works: a sandbox of our own starts with it and goes away again.

Called by `transaction`. A sandbox runs the pause image as an ordinary process under the shim, so
it proves handler, binary, options and cgroup driver without any Wasm image.
"""

from __future__ import annotations

from rcm_agent import errors, ports

PROVEN = "proven"
IMAGE_TIMEOUT_S = 25.0
"""For a pull of the pause image (300 KB) over a slow line. The switch is armed meanwhile: it must
not fire because a registry does not answer, which is no failure."""
NAME = "rcm-proof"
REMOVE_TIMEOUT_S = 15.0


def prove(host: ports.Host, *, handler: str, image: str, timeout_s: float) -> str:
    """Return `PROVEN`, or `not proven: …` when the sandbox image cannot be had.

    `image` is the one that containerd is configured to use; empty: nobody knows, so try.

    Raises:
        CriError: the sandbox did not start, with containerd's own words.
    """
    missing = host.containerd.ensure_image(image, timeout_s=IMAGE_TIMEOUT_S) if image else None
    if missing is not None:
        return f"not proven: the sandbox image {image} cannot be had: {errors.clip(missing)}"
    remove_leftovers(host)
    sandbox = host.containerd.run_sandbox(handler=handler, name=NAME, timeout_s=timeout_s)
    host.containerd.remove_sandbox(sandbox, timeout_s=REMOVE_TIMEOUT_S)
    return PROVEN


def remove_leftovers(host: ports.Host) -> None:
    """Remove sandboxes of a proof that was killed."""
    for sandbox in host.containerd.sandboxes(timeout_s=REMOVE_TIMEOUT_S):
        if sandbox.name.endswith(f"/{NAME}"):
            host.containerd.remove_sandbox(sandbox.id, timeout_s=REMOVE_TIMEOUT_S)
