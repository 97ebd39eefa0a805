"""Drives a reflector against the model, on one thread and by a clock that only tests move."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rcm_api.client import api, reflector
from rcm_api.client.resources import Resource
from tests.fakes.apiserver import faulty, kinds, model

IDLE_S = 1.0
"""Time runs faster while nothing happens."""
WIDGETS = Resource("rcm.test", "v1", "widgets", "Widget")


@dataclass(slots=True)
class View:
    """A sink that keeps names and sizes, and a diary."""

    objects: dict[str, Any] = field(default_factory=dict[str, Any])
    diary: list[str] = field(default_factory=list[str])

    def replace(self, items: Iterable[bytes], *, version: str) -> None:  # noqa: ARG002 - of Sink
        read = [api.document(item) for item in items]
        self.objects = {found["metadata"]["name"]: found.get("spec") for found in read}
        self.diary.append("list")

    def put(self, item: bytes) -> None:
        found = api.document(item)
        self.objects[found["metadata"]["name"]] = found.get("spec")
        self.diary.append(f"put {found['metadata']['name']}")

    def drop(self, item: bytes) -> None:
        name = api.document(item)["metadata"]["name"]
        self.objects.pop(name, None)
        self.diary.append(f"drop {name}")

    def at(self, version: str) -> None:  # noqa: ARG002 - of Sink
        self.diary.append("bookmark")


class Drive:
    """A model of a server, a client that breaks on demand, and a reflector of widgets."""

    def __init__(self, settings: reflector.Settings | None = None) -> None:
        self.now = 0.0
        self.server = model.Server((*kinds.USUAL, kinds.custom(WIDGETS)), now=lambda: self.now)
        self.faults = faulty.Faulty(self.server)
        self.client = api.Client(self.faults, manager="test")
        self.writer = api.Client(self.server, manager="writer")
        self.view = View()
        self.pauses: list[float] = []
        self.reflector = reflector.Reflector(
            self.client,
            reflector.Source(WIDGETS),
            self.view,
            now=lambda: self.now,
            random=lambda: 0.5,
            settings=settings,
        )
        self._steps = self.reflector.steps()

    @property
    def weather(self) -> Any:
        return self.server.weather[WIDGETS]

    def run(self, seconds: float = 1.0) -> list[str]:
        """Let so much time pass, and return what the view was told meanwhile."""
        before = len(self.view.diary)
        end = self.now + seconds
        while self.now < end:
            pause = next(self._steps)
            self.pauses.append(pause)
            self.now += max(pause, IDLE_S) if pause == reflector.POLL_S else pause
        return self.view.diary[before:]

    def create(self, name: str, size: int = 1) -> None:
        body = {
            "apiVersion": WIDGETS.api_version,
            "kind": WIDGETS.kind,
            "metadata": {"name": name},
            "spec": {"size": size},
        }
        self.writer.create(WIDGETS, body, decode=api.ignore)

    def resize(self, name: str, size: int) -> None:
        patch = api.Patch({"spec": {"size": size}})
        self.writer.patch(WIDGETS, name, patch, decode=api.ignore)

    def delete(self, name: str) -> None:
        self.writer.delete(WIDGETS, name)

    def truth(self) -> dict[str, Any]:
        found = self.server.documents(WIDGETS)
        return {document["metadata"]["name"]: document.get("spec") for document in found}
