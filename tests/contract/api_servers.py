"""The API servers that the contract of `rcm_api.client` is held against: a real one, and the model.

A test asks for `api_server` and runs once per kind; what only one of both can show does not belong
into the contract.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from rcm_api.client import api, credentials, http, transport
from rcm_api.client.resources import Resource
from tests.fakes.apiserver import kinds, model
from tests.testbed import controlplane

WIDGETS = Resource("rcm.test", "v1", "widgets", "Widget")
"""A custom resource without rules: what the contract says holds for any."""
_DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.rcm.test"},
    "spec": {
        "group": WIDGETS.group,
        "scope": "Cluster",
        "names": {
            "kind": "Widget",
            "listKind": "WidgetList",
            "plural": "widgets",
            "singular": "widget",
        },
        "versions": [
            {
                "name": WIDGETS.version,
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            part: {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                            for part in ("spec", "status")
                        },
                    }
                },
            }
        ],
    },
}
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_ESTABLISHED_S = 20.0


class Clock:
    """The model's: it moves when somebody waits."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass(slots=True)
class ApiServer:
    """One API server, empty but for what every one has."""

    moves: transport.Transport
    plane: controlplane.ControlPlane | None = None
    """None: the model."""
    model: model.Server | None = None
    clock: Clock | None = None

    def client(self, manager: str = "test") -> api.Client:
        return api.Client(self.moves, manager=manager)

    def idle(self) -> None:
        """Let time pass; real watches block meanwhile."""
        if self.clock is not None:
            self.clock.seconds += 0.1

    def compact(self) -> None:
        """Make the server forget its history."""
        if self.model is not None:
            self.model.compact()
        if self.plane is not None:
            self.plane.compact()

    def undefine(self) -> None:
        """Delete the definition of widgets."""
        if self.model is not None:
            self.model.undefine(WIDGETS)
        if self.plane is not None:
            self.plane.ask("DELETE", f"{_DEFINITIONS}/widgets.rcm.test", {})
            _wait(self.plane, 404)


@pytest.fixture(
    params=["model", pytest.param("real", marks=[pytest.mark.real, pytest.mark.timeout(120)])]
)
def api_server(request: pytest.FixtureRequest) -> Iterator[ApiServer]:
    """Give the model, then a real API server."""
    if request.param == "model":
        clock = Clock()
        server = model.Server((*kinds.USUAL, kinds.custom(WIDGETS)), now=clock)
        yield ApiServer(server, model=server, clock=clock)
        return
    plane: controlplane.ControlPlane = request.getfixturevalue("control_plane")
    _define(plane)
    with contextlib.closing(connected(plane)) as moves:
        yield ApiServer(moves, plane=plane)


def connected(plane: controlplane.ControlPlane, kubeconfig: str = "") -> http.Http:
    """Return the real transport, as an administrator unless another kubeconfig is given."""
    logins = credentials.find(
        kubeconfig or str(plane.kubeconfig), environ=os.environ, now=time.monotonic
    )
    return http.Http(logins, agent="contract")


def _define(plane: controlplane.ControlPlane) -> None:
    plane.ask("POST", _DEFINITIONS, _DEFINITION)
    _wait(plane, 200)


def _wait(plane: controlplane.ControlPlane, status: int) -> None:
    deadline = time.monotonic() + _ESTABLISHED_S
    while plane.ask("GET", WIDGETS.path(), {}) != status:
        assert time.monotonic() < deadline, f"widgets do not come to {status}"
        time.sleep(0.05)


def widget(name: str, **parts: Any) -> dict[str, Any]:
    """Return a manifest; keywords are its parts, `labels` and `finalizers` go to metadata."""
    meta = {key: parts.pop(key) for key in ("labels", "finalizers") if key in parts}
    return {
        "apiVersion": WIDGETS.api_version,
        "kind": WIDGETS.kind,
        "metadata": {"name": name, **meta},
        **parts,
    }
