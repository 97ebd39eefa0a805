"""OCI archives around a guest."""

import collections.abc

from tests.testbed import oci

PATH = "/app.wasm"


def image(
    ref: str, wasm: bytes, *, os: str = "wasip1", env: collections.abc.Sequence[str] = ()
) -> bytes:
    """Return an archive for `ctr images import` whose entrypoint is the guest.

    Args:
        ref: The image's name, for example "rcm.test/hello:1".
        wasm: The guest.
        os: Of the image's platform, whose architecture is "wasm".
        env: `NAME=value` lines.
    """
    return oci.image(ref, files={PATH: wasm}, entrypoint=[PATH], os=os, arch="wasm", env=env)
