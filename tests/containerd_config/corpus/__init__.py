"""Starting configurations: a directory each, as the root of a host; some are made from others."""

import functools
import pathlib
import subprocess

from tests.testbed import containerd

HERE = pathlib.Path(__file__).parent
ROOT = "/etc/containerd/config.toml"


def names() -> tuple[str, ...]:
    """Every configuration, those without a directory too."""
    return tuple(sorted({*_directories(), *_MADE}))


def files(name: str, version: str = "") -> dict[str, bytes]:
    """The files of a configuration by path; `version` is for those containerd generates."""
    if name in _MADE:
        return _MADE[name](version)
    top = HERE / name
    return {f"/{p.relative_to(top)}": p.read_bytes() for p in top.rglob("*") if p.is_file()}


def pure() -> tuple[str, ...]:
    """Those that need no binary."""
    return tuple(name for name in names() if name not in _GENERATED)


def _directories() -> tuple[str, ...]:
    return tuple(p.name for p in HERE.iterdir() if p.is_dir() and (p / "etc").is_dir())


def _none(_version: str) -> dict[str, bytes]:
    return {}


@functools.cache
def default(version: str) -> bytes:
    argv = [containerd.binary(version) / "containerd", "config", "default"]
    return subprocess.run(argv, capture_output=True, check=True).stdout


def _default(version: str) -> dict[str, bytes]:
    return {ROOT: default(version)}


def _kubeadm(version: str) -> dict[str, bytes]:
    """What the Kubernetes documentation has people do with the default."""
    return {ROOT: default(version).replace(b"SystemdCgroup = false", b"SystemdCgroup = true")}


def _conf_d(version: str) -> dict[str, bytes]:
    """The default of 2.2 and later with something in conf.d."""
    drop_in = b"[debug]\n  level = 'debug'\n"
    return {ROOT: default(version), "/etc/containerd/conf.d/10-debug.toml": drop_in}


def _crlf(_version: str) -> dict[str, bytes]:
    return {path: data.replace(b"\n", b"\r\n") for path, data in files("kind").items()}


def _no_line_end(_version: str) -> dict[str, bytes]:
    return {path: data.rstrip(b"\n") for path, data in files("eks-1.7").items()}


def _bom(_version: str) -> dict[str, bytes]:
    return {path: b"\xef\xbb\xbf" + data for path, data in files("kind").items()}


_GENERATED = {"default": _default, "kubeadm": _kubeadm, "default-conf.d": _conf_d}
_MADE = {
    "no-file": _none,
    "crlf": _crlf,
    "no-line-end": _no_line_end,
    "byte-order-mark": _bom,
    **_GENERATED,
}
