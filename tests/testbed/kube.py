"""Kubernetes' own programs, built from their Go modules: one program that goes by six names.

etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubelet and kubectl share nearly all
of their packages: linked once they take 140 MB and five minutes, linked apart several times that.
"""

import pathlib
import platform
import subprocess

from tests.testbed import cache, errors, go

VERSION = "1.36.3"
"""The newest release in November 2026."""
_ETCD = "3.6.8"
"""The release that this Kubernetes' own go.mod names."""
_COBRA = "1.10.2"
"""As above."""
PARTS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kubectl",
)
_PROGRAM = "kube"
_SOURCE = pathlib.Path(__file__).parent / "kube_program" / "main.go"
# Modules that live inside Kubernetes' own repository: its go.mod names them v0.0.0 and leaves the
# version to whoever builds (kubernetes/kubernetes, go.mod and staging/src/k8s.io).
_STAGING = (
    "api",
    "apiextensions-apiserver",
    "apimachinery",
    "apiserver",
    "cli-runtime",
    "client-go",
    "cloud-provider",
    "cluster-bootstrap",
    "code-generator",
    "component-base",
    "component-helpers",
    "controller-manager",
    "cri-api",
    "cri-client",
    "cri-streaming",
    "csi-translation-lib",
    "dynamic-resource-allocation",
    "endpointslice",
    "externaljwt",
    "kms",
    "kube-aggregator",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
    "metrics",
    "mount-utils",
    "pod-security-admission",
    "sample-apiserver",
    "sample-cli-plugin",
    "sample-controller",
    "streaming",
)


def programs() -> pathlib.Path:
    """Return a directory with a program for each of `PARTS`.

    Raises:
        BuildError: They are not in the cache and cannot be built.
    """
    return cache.entry(f"kubernetes-{VERSION}", _inputs(), _build)


def is_built() -> bool:
    """Tell whether `programs()` would return at once."""
    return cache.path(f"kubernetes-{VERSION}", _inputs()).is_dir()


def _inputs() -> dict[str, str | bytes]:
    # What decides about the program, not the bytes of this file: five minutes are too long for the
    # sake of a comment.
    return {
        "machine": platform.machine(),
        "go.mod": _module(),
        "flags": " ".join(_flags()),
        "parts": " ".join(PARTS),
        **cache.recipe(_SOURCE),
    }


def _build(workshop: cache.Workshop) -> None:
    go.check(at_least=(1, 26))
    (workshop.scratch / "go.mod").write_text(_module())
    (workshop.scratch / "main.go").write_bytes(_SOURCE.read_bytes())
    workshop.step("go build")
    # Sums are checked against the public checksum database, as for containerd.
    argv = ["go", "build", *_flags(), f"-o={workshop.directory / _PROGRAM}", "."]
    workshop.run(argv, cwd=workshop.scratch, env={"CGO_ENABLED": "0"})
    for part in PARTS:
        (workshop.directory / part).symlink_to(_PROGRAM)
    _check(workshop.directory)


def _module() -> str:
    staging = f"v0.{VERSION.removeprefix('1.')}"
    requires = (
        f"github.com/spf13/cobra v{_COBRA}",
        f"go.etcd.io/etcd/server/v3 v{_ETCD}",
        f"k8s.io/component-base {staging}",
        f"k8s.io/kubectl {staging}",
        f"k8s.io/kubernetes v{VERSION}",
    )
    replaces = (f"k8s.io/{name} => k8s.io/{name} {staging}" for name in _STAGING)
    lines = [f"require {line}" for line in requires] + [f"replace {line}" for line in replaces]
    return "\n".join(["module rcm.test/kube", "", "go 1.26.0", "", *lines, ""])


def _flags() -> tuple[str, ...]:
    major, minor, _ = VERSION.split(".")
    said = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor}
    where = "k8s.io/component-base/version"
    versions = " ".join(f"-X {where}.{name}={value}" for name, value in said.items())
    return "-mod=mod", "-trimpath", f"-ldflags=-s -w {versions}"


def _check(directory: pathlib.Path) -> None:
    argv = [str(directory / "kube-apiserver"), "--version"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    if VERSION not in said:
        raise errors.BuildError(f"wanted Kubernetes {VERSION}, built {said.strip()!r}")
