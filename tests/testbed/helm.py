"""Helm, built from its Go module, for the tests that render and install the chart."""

import pathlib
import platform
import subprocess

from tests.testbed import cache, errors, go

VERSION = "3.22.0"
"""The newest of Helm 3 in November 2026: what most people still have."""
_MODULE = "helm.sh/helm/v3"


def program() -> pathlib.Path:
    """Return the path of helm; 70 s of two cores when it is not in the cache.

    Raises:
        BuildError: It cannot be built.
    """
    return cache.entry(f"helm-{VERSION}", _inputs(), _build) / "helm"


def is_built() -> bool:
    """Tell whether `program()` would return at once."""
    return cache.path(f"helm-{VERSION}", _inputs()).is_dir()


def _inputs() -> dict[str, str | bytes]:
    return {"machine": platform.machine(), "version": VERSION, "flags": " ".join(_flags())}


def _build(workshop: cache.Workshop) -> None:
    go.check(at_least=(1, 25))
    module = f"module rcm.test/helm\n\ngo 1.25\n\nrequire {_MODULE} v{VERSION}\n"
    (workshop.scratch / "go.mod").write_text(module)
    workshop.step("go build")
    # Sums are checked against the public checksum database, as for containerd.
    argv = ["go", "build", *_flags(), f"-o={workshop.directory}/", f"{_MODULE}/cmd/helm"]
    workshop.run(argv, cwd=workshop.scratch, env={"CGO_ENABLED": "0"})
    said = subprocess.run(
        [workshop.directory / "helm", "version", "--short"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if VERSION not in said:
        raise errors.BuildError(f"wanted Helm {VERSION}, built {said.strip()!r}")


def _flags() -> tuple[str, ...]:
    return (
        "-mod=mod",
        "-trimpath",
        f"-ldflags=-s -w -X {_MODULE}/internal/version.version=v{VERSION}",
    )
