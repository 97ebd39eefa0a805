"""The sandbox image: one static program that sleeps and reaps.

Every sandbox of a node runs it, so no node needs a registry.
"""

import pathlib

from tests.testbed import cache, oci

REF = "rcm.test/pause:1"
_SOURCE = pathlib.Path(__file__).parent / "node_image" / "pause.c"


def program() -> pathlib.Path:
    """Return the path of the static `pause` program.

    Raises:
        BuildError: The C compiler failed.
    """
    return cache.entry("pause", cache.recipe(_SOURCE, pathlib.Path(__file__)), _build) / "pause"


def archive(*, aliases: tuple[str, ...] = ()) -> bytes:
    """Return the image as an OCI archive, with further names for it."""
    files = {"/pause": program().read_bytes()}
    return oci.image(REF, files=files, entrypoint=["/pause"], aliases=aliases)


def _build(workshop: cache.Workshop) -> None:
    target = workshop.directory / "pause"
    workshop.run(["gcc", "-Os", "-static", "-s", "-Wall", "-Werror", "-o", target, _SOURCE])
