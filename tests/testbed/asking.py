"""`kubectl get` without a process: what waits ask again and again.

A start of kubectl takes 0.1 to 0.3 s of a core, a request of the open connection 3 ms. Questions
are worded as for kubectl; what is not understood here is asked of kubectl. Called by `clusters`.
"""

import collections.abc
import dataclasses
import json
import typing
import urllib.parse

from tests.testbed import controlplane, errors

_SELECTORS = {"--selector": "labelSelector", "--field-selector": "fieldSelector"}
_SELECTORS["-l"] = _SELECTORS["--selector"]

Object = dict[str, typing.Any]


@dataclasses.dataclass(frozen=True, slots=True)
class _Kind:
    prefix: str
    plural: str
    namespaced: bool

    def path(self, namespace: str | None, name: str) -> str:
        inside = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{self.prefix}{inside}/{self.plural}" + (f"/{name}" if name else "")


@dataclasses.dataclass(frozen=True, slots=True)
class _Question:
    kind: str
    name: str
    namespace: str | None
    query: str


class Asker:
    """Asks one API server, as an administrator."""

    def __init__(self, plane: controlplane.ControlPlane) -> None:
        self._plane = plane
        self._kinds: dict[str, _Kind] = {}

    def get(self, words: tuple[str, ...]) -> typing.Any:
        """Return what `kubectl get WORDS --output=json` prints, decoded.

        Raises:
            CommandError: The API server refuses, for example because nothing has the name.
        """
        question = _understood(words)
        kind = self._kind(question.kind) if question else None
        if question is None or kind is None:
            return json.loads(self._plane.kubectl("get", *words, "--output=json"))
        path = kind.path(question.namespace, question.name)
        status, body = self._plane.answer(f"{path}?{question.query}")
        answer = json.loads(body)
        if status != 200:
            said = f"Error from server ({answer.get('reason')}): {answer.get('message')}"
            raise errors.CommandError(("kubectl", "get", *words), 1, "", said)
        return _as_kubectl(answer)

    def _kind(self, name: str) -> _Kind | None:
        if name not in self._kinds:  # a new definition, perhaps
            self._kinds = dict(self._discovered())
        return self._kinds.get(name)

    def _discovered(self) -> collections.abc.Iterator[tuple[str, _Kind]]:
        groups = json.loads(self._plane.get("/apis"))["groups"]
        versions = [f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups]
        for prefix in (
            *reversed(versions),
            "/api/v1",
        ):  # of one name twice, kubectl means the first
            for each in json.loads(self._plane.get(prefix))["resources"]:
                if "/" not in each["name"]:
                    kind = _Kind(prefix, each["name"], each["namespaced"])
                    for name in _names(each, prefix):
                        yield name, kind


def _names(resource: Object, prefix: str) -> tuple[str, ...]:
    group = prefix.split("/")[2] if prefix.startswith("/apis/") else ""
    names = (resource["name"], resource["singularName"], *resource.get("shortNames", ()))
    return (*names, f"{resource['name']}.{group}", f"{resource['singularName']}.{group}")


def _understood(words: tuple[str, ...]) -> _Question | None:
    namespace: str | None = "default"
    query: dict[str, str] = {}
    plain: list[str] = []
    for word in words:
        option, _, value = word.partition("=")
        if not word.startswith("-"):
            plain.append(word)
        elif option in {"--namespace", "-n"} and value:
            namespace = value
        elif word in {"--all-namespaces", "-A"}:
            namespace = None
        elif option in _SELECTORS and value:
            query[_SELECTORS[option]] = value
        else:
            return None
    return _question(plain, namespace, query)


def _question(plain: list[str], namespace: str | None, query: dict[str, str]) -> _Question | None:
    one_name = len(plain) == 2 and not query and namespace is not None
    if not (one_name or len(plain) == 1) or set("/,") & set("".join(plain)):
        return None
    name = plain[1] if one_name else ""
    return _Question(plain[0], name, namespace, urllib.parse.urlencode(query))


def _as_kubectl(answer: Object) -> Object:
    """Return what kubectl makes of it: items say what they are, nobody says who wrote what."""
    for item in answer.get("items", ()):
        item.setdefault("apiVersion", answer["apiVersion"])
        item.setdefault("kind", answer["kind"].removesuffix("List"))
    for each in answer.get("items", [answer]):
        each["metadata"].pop("managedFields", None)
    return answer
