"""Shims that do not work, one for each way of it; compiled when first needed."""

import pathlib

from tests.testbed import cache

_SOURCE = pathlib.Path(__file__).parent / "broken_shim.c"
BINARY = "containerd-shim-broken-v1"
WAYS = ("version-fails", "start-fails", "start-hangs", "info-hangs")


def build() -> pathlib.Path:
    """Return the directory that has a directory for each of `WAYS`, with the binary in it.

    Raises:
        BuildError: The C compiler failed.
    """
    return cache.entry("broken-shims", cache.recipe(_SOURCE, pathlib.Path(__file__)), _build)


def _build(workshop: cache.Workshop) -> None:
    for way in WAYS:
        directory = workshop.directory / way
        directory.mkdir()
        define = f"-D{way.upper().replace('-', '_')}"
        flags = ["-Os", "-static", "-s", "-Wall", "-Werror", "-Wno-unused", define]
        workshop.run(["gcc", *flags, "-o", directory / BINARY, _SOURCE])
