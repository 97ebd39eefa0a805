"""The model and a real API server are asked the same, at random, and must answer alike.

A seed gives a story of writes, right and wrong ones; what each server answered, how the objects look
then, and what a watch tells of it all is compared. Uids, times and versions differ and are replaced
by what matters about them: whether they changed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from rcm_api.client import api, errors
from tests.contract.api_servers import WIDGETS, ApiServer, Clock, widget
from tests.fakes.apiserver import kinds, model

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]
STEPS = 40
SEEDS = 16
FOREIGN_UID = "11111111-2222-3333-4444-555555555555"
Document = dict[str, Any]


@dataclass(slots=True)
class Teller:
    """Tells one server a story, and writes down what it answers."""

    server: ApiServer
    versions: dict[str, str] = field(default_factory=dict[str, str])
    uids: dict[str, str] = field(default_factory=dict[str, str])

    def ask(self, step: Document) -> Any:
        """Do one step; return the answer without what must differ."""
        client = self.server.client(step.get("manager", "test"))
        name = step["name"]
        body = self._filled(step["body"], name) if "body" in step else None
        try:
            match step["verb"]:
                case "create":
                    found = client.create(WIDGETS, body, decode=api.document)
                case "replace":
                    found = client.replace(WIDGETS, name, body, decode=api.document)
                case "patch":
                    patch = api.Patch(body, **step.get("options", {}))
                    found = client.patch(WIDGETS, name, patch, decode=api.document)
                case _:
                    client.delete(WIDGETS, name, **self._filled(step["conditions"], name))
                    return "deleted"
        except errors.Refused as error:
            return type(error).__name__
        return self._plain(found)

    def _filled(self, body: Any, name: str) -> Any:
        """Put in the versions and uids of this server."""
        known = {"$version": self.versions.get(name, "5"), "$uid": self.uids.get(name, FOREIGN_UID)}
        if isinstance(body, dict):
            return {key: self._filled(value, name) for key, value in body.items()}
        return known.get(body, body) if isinstance(body, str) else body

    def _plain(self, found: Document) -> Document:
        meta = dict(found["metadata"])
        name = meta["name"]
        version, uid = meta.pop("resourceVersion"), meta.pop("uid")
        said = {
            "written": version != self.versions.get(name),
            "new": uid != self.uids.get(name),
            "dying": meta.pop("deletionTimestamp", None) is not None,
        }
        self.versions[name], self.uids[name] = version, uid
        for other in ("creationTimestamp", "managedFields", "deletionGracePeriodSeconds"):
            meta.pop(other, None)
        return {**found, "metadata": meta, "said": said}

    def listed(self) -> list[Document]:
        return [
            self._plain(found) for found in self.server.client().list(WIDGETS, decode=api.document)
        ]

    def watched(self, since: str) -> list[str]:
        limits = api.WatchLimits(duration_s=1, silence_s=30)
        told: list[str] = []
        with self.server.client().watch(WIDGETS, since=since, limits=limits) as changes:
            for change in changes:
                if isinstance(change, api.Idle):
                    self.server.idle()
                elif not isinstance(change, api.Bookmark):
                    found = api.document(change.item)
                    told.append(
                        f"{type(change).__name__} {found['metadata']['name']} {_sorted(found.get('spec'))}"
                    )
        return told


def _sorted(found: Any) -> str:
    return msgspec.json.encode(found, order="sorted").decode()


class Story:
    """Steps from a seed; every other one has server-side apply, and then no maps in the spec."""

    def __init__(self, seed: int) -> None:
        self.flat = seed % 2 == 0
        self.chance = random.Random(seed)  # noqa: S311 - replayed by its seed

    def step(self) -> Document:
        name = self.chance.choice("abc")
        others = (self.apply, self.apply) if self.flat else (self.merge,)
        usual = (self.create, self.merge, self.status, self.replace, self.delete)
        tell = self.chance.choice((*usual, *others))
        return {"name": name, **tell(name)}

    def create(self, name: str) -> Document:
        extra = {"finalizers": ["rcm.test/f"]} if self.chance.random() < 0.3 else {}
        status = {"status": {"x": 1}} if self.chance.random() < 0.3 else {}
        return {"verb": "create", "body": widget(name, spec=self.spec(), **extra, **status)}

    def merge(self, _name: str) -> Document:
        body: Document = {"metadata": self.conditions()}
        if self.chance.random() < 0.7:
            body["spec"] = self.spec(nulls=True)
        if self.chance.random() < 0.3:
            body["metadata"]["labels"] = {self.chance.choice("xy"): self.chance.choice(("1", None))}
        if self.chance.random() < 0.3:
            choices = (None, [], ["rcm.test/f"], ["rcm.test/f", "rcm.test/g"])
            body["metadata"]["finalizers"] = self.chance.choice(choices)
        if self.chance.random() < 0.2:
            body["status"] = {"x": self.chance.randrange(3)}
        return {"verb": "patch", "body": body}

    def status(self, _name: str) -> Document:
        status = self.chance.choice((None, {"x": self.chance.randrange(3)}, {"y": [1], "x": None}))
        body = {"metadata": self.conditions(), "status": status}
        return {"verb": "patch", "body": body, "options": {"subresource": "status"}}

    def replace(self, name: str) -> Document:
        body = widget(name, spec=self.spec())
        body["metadata"] |= self.conditions(always=self.chance.random() < 0.8)
        return {"verb": "replace", "body": body}

    def apply(self, name: str) -> Document:
        options = {"kind": api.APPLY, "force": self.chance.random() < 0.3}
        manager = self.chance.choice(("one", "two"))
        body = widget(name, spec=self.spec())
        return {"verb": "patch", "body": body, "options": options, "manager": manager}

    def delete(self, _name: str) -> Document:
        conditions: Document = {}
        if self.chance.random() < 0.4:
            conditions["uid"] = self.chance.choice(("$uid", FOREIGN_UID))
        if self.chance.random() < 0.4:
            conditions["resource_version"] = self.chance.choice(("$version", "1"))
        return {"verb": "delete", "conditions": conditions}

    def conditions(self, *, always: bool = False) -> Document:
        found: Document = {}
        if always or self.chance.random() < 0.4:
            found["resourceVersion"] = self.chance.choice(("$version", "$version", "1"))
        if self.chance.random() < 0.3:
            found["uid"] = self.chance.choice(("$uid", "$uid", FOREIGN_UID))
        return found

    def spec(self, *, nulls: bool = False) -> Document:
        values: list[Any] = [1, 2, "x", [1], [1, 2]]
        if not self.flat:
            values += [{"k": 1}, {"k": 2, "l": [3]}]
        if nulls:
            values += [None] if self.flat else [None, {"k": None}]
        keys = self.chance.sample("pqr", k=self.chance.randrange(1, 4))
        return {key: self.chance.choice(values) for key in keys}


@pytest.mark.parametrize("api_server", ["real"], indirect=True)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_both_answer_alike(api_server: ApiServer, seed: int):
    story = Story(seed)
    clock = Clock()
    fake = model.Server((*kinds.USUAL, kinds.custom(WIDGETS)), now=clock)
    tellers = (Teller(api_server), Teller(ApiServer(fake, model=fake, clock=clock)))
    begin = [teller.server.client().version(WIDGETS) for teller in tellers]
    for _ in range(STEPS):
        step = story.step()
        real, faked = (teller.ask(step) for teller in tellers)

        assert faked == real, step

    assert tellers[1].listed() == tellers[0].listed()
    told = [teller.watched(since) for teller, since in zip(tellers, begin, strict=True)]
    assert told[1] == told[0]
