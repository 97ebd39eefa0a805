"""Certificates and kubeconfigs of one control plane, in its directory. Called by `controlplane`."""

import base64
import collections.abc
import json
import pathlib

from tests.testbed import pki

MASTERS = ("system:masters",)
"""The group that may do everything."""


class PlaneFiles:
    """Writes what one authority signs."""

    def __init__(self, directory: pathlib.Path, authority: pki.Authority) -> None:
        self._directory = directory
        self._authority = authority

    def write_certificates(self, hosts: tuple[str, ...]) -> None:
        """Write what the programs start with; `hosts` are the API server's names."""
        private, public = pki.key_pair()
        self.write("sa.key", private)
        self.write("sa.pub", public)
        self.write_pair("ca", self._authority.pair)
        self.write_pair("apiserver", self._authority.server("kube-apiserver", hosts=hosts))
        kubelets = self._authority.client("kubelet-client", groups=MASTERS)
        self.write_pair("kubelet-client", kubelets)

    def login(self, name: str, groups: tuple[str, ...]) -> dict[str, object]:
        """Return a kubeconfig's login of a user with a certificate."""
        pair = self._authority.client(name, groups=groups)
        return {
            "client-certificate-data": _base64(pair.certificate),
            "client-key-data": _base64(pair.key),
        }

    def write_kubeconfig(
        self, name: str, login: collections.abc.Mapping[str, object], *, server: str
    ) -> pathlib.Path:
        """Write a kubeconfig; return its path."""
        ca = _base64(self._authority.pair.certificate)
        cluster = {"server": server, "certificate-authority-data": ca}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test-bed",
            "clusters": [{"name": "test-bed", "cluster": cluster}],
            "users": [{"name": name, "user": dict(login)}],
            "contexts": [{"name": "test-bed", "context": {"cluster": "test-bed", "user": name}}],
        }
        return self.write(f"{name.replace(':', '-')}.kubeconfig", json.dumps(document).encode())

    def write_pair(self, name: str, pair: pki.Pair) -> tuple[pathlib.Path, pathlib.Path]:
        """Write a certificate and its key; return their paths."""
        return self.write(f"{name}.crt", pair.certificate), self.write(f"{name}.key", pair.key)

    def write(self, name: str, data: bytes) -> pathlib.Path:
        """Write a file that only its owner may read; return its path."""
        path = self._directory / name
        path.touch(mode=0o600)
        path.write_bytes(data)
        return path


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
