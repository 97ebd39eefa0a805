"""The reference shim, built from this repository: what demo and tests install.

The entry holds `v0.1.0`, `v0.2.0` and `v0.1.0-nopids`, each with the binary and the archive that
`images/shim-wasmtime/build.py` tells of. Cargo's target directory stays in the cache beside the
entries, so that a change of the shim does not compile its 400 dependencies again.
"""

import pathlib
import platform
import sys

from tests.testbed import cache

_CRATE = pathlib.Path(__file__).parents[2] / "images" / "shim-wasmtime"
_NAME = "shims"
BINARY = "containerd-shim-wasmtime-v1"


def build() -> pathlib.Path:
    """Return the directory of the built variants.

    Raises:
        BuildError: They are not in the cache and cannot be built.
    """
    return cache.entry(_NAME, _inputs(), _build)


def binary(variant: str) -> pathlib.Path:
    """Return one variant's executable, for example that of "v0.1.0"."""
    return build() / variant / BINARY


def archive(variant: str) -> pathlib.Path:
    """Return one variant's .tar.gz, as a release would have it."""
    return build() / variant / f"containerd-shim-wasmtime-linux-{platform.machine()}.tar.gz"


def is_built() -> bool:
    """Tell whether `build()` would return at once."""
    return cache.path(_NAME, _inputs()).is_dir()


def _inputs() -> dict[str, str | bytes]:
    # By name: a target directory of somebody's own `cargo test` is no input.
    names = ("Cargo.toml", "Cargo.lock", "build.py", "src", "patches")
    recipe = cache.recipe(*(_CRATE / name for name in names))
    return {"machine": platform.machine(), **recipe}


def _build(workshop: cache.Workshop) -> None:
    workshop.step("cargo build")
    target = cache.root() / "shim-target"
    where = [f"--out={workshop.directory}", f"--target-dir={target}"]
    workshop.run([sys.executable, _CRATE / "build.py", *where])
