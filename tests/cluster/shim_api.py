"""Asks a real API server about Shims, as kubectl does, and hears its warnings."""

import dataclasses
import json
import pathlib
import re
import time
from typing import Any

import urllib3

from tests.testbed import controlplane, errors

ROOT = pathlib.Path(__file__).parents[2]
CRDS = ROOT / "manifests" / "crd"
PATH = "/apis/runtime.spinkube.dev/v1alpha1"


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What the API server says to a manifest."""

    status: int
    body: dict[str, Any]
    warnings: tuple[str, ...]

    @property
    def message(self) -> str:
        """Why it refused."""
        return self.body.get("message", "")


class Door:
    """Creates objects, or tries to, as an administrator."""

    def __init__(self, plane: controlplane.ControlPlane, directory: pathlib.Path) -> None:
        pair = plane.authority.client("shim-author", groups=("system:masters",))
        files = {"cert": pair.certificate, "key": pair.key}
        for name, data in files.items():
            (directory / name).write_bytes(data)
        self._url = plane.url + PATH
        self._http = urllib3.PoolManager(
            ca_certs=str(plane.ca),
            cert_file=str(directory / "cert"),
            key_file=str(directory / "key"),
        )

    def create(self, document: object, *, kind: str = "shims", dry_run: bool = True) -> Answer:
        """Create an object, with the strictness of `kubectl apply`."""
        return self._ask("POST", kind, document, dry_run=dry_run)

    def update(self, path: str, document: object) -> Answer:
        """Replace an object, or its status."""
        return self._ask("PUT", path, document, dry_run=False)

    def table(self, kind: str, *, wide: bool = False) -> list[dict[str, Any]]:
        """Return the rows of `kubectl get`, by column."""
        accept = {"accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}
        found = self._http.request("GET", f"{self._url}/{kind}", headers=accept).json()
        columns = [c for c in found["columnDefinitions"] if wide or c["priority"] == 0]
        names = [c["name"] for c in found["columnDefinitions"]]
        shown = {c["name"] for c in columns}
        return [
            {n: cell for n, cell in zip(names, row["cells"], strict=True) if n in shown}
            for row in found["rows"]
        ]

    def _ask(self, method: str, path: str, document: object, *, dry_run: bool) -> Answer:
        query = "fieldValidation=Strict" + ("&dryRun=All" if dry_run else "")
        found = self._http.request(
            method,
            f"{self._url}/{path}?{query}",
            body=json.dumps(document).encode(),
            headers={"content-type": "application/json"},
            retries=False,
            timeout=30.0,
        )
        warnings = re.findall(r'299 - "((?:[^"\\]|\\.)*)"', found.headers.get("warning", ""))
        return Answer(found.status, found.json(), tuple(w.replace('\\"', '"') for w in warnings))


def install(plane: controlplane.ControlPlane) -> None:
    """Apply the CRDs of the repository and wait until they serve."""
    plane.kubectl("apply", f"--filename={CRDS}")
    plane.kubectl("wait", "--for=condition=Established", f"--filename={CRDS}", "--timeout=30s")
    # Established is said before the store behind it is there: 429, "storage is (re)initializing".
    deadline = time.monotonic() + 30
    for kind in ("shims", "noderuntimes"):
        while not _serves(plane, kind):
            assert time.monotonic() < deadline, kind
            time.sleep(0.05)


def _serves(plane: controlplane.ControlPlane, kind: str) -> bool:
    try:
        plane.get(f"{PATH}/{kind}")
    except errors.NodeError:
        return False
    return True
