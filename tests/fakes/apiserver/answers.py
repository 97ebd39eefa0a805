"""What the server says when it says no, in its own words (`metav1.Status`)."""

from __future__ import annotations

import msgspec

from rcm_api.client.resources import Resource
from rcm_api.client.transport import Response
from tests.fakes.apiserver.kinds import Document

JSON = {"content-type": "application/json"}


class Unsupported(AssertionError):  # noqa: N818 - reads as what it is
    """The model does not know what it was asked: extend it, or ask something else."""


class Refusal(Exception):  # noqa: N818 - reads as what it is
    """An answer with an error status, on its way out."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason

    @property
    def status(self) -> Document:
        """As it stands in the answer's body, or in a watch's ERROR event."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            "reason": self.reason,
            "code": self.code,
        }

    def response(self, retry_after_s: int | None = None) -> Response:
        """Return the answer."""
        headers = dict(JSON)
        if retry_after_s is not None:
            headers["retry-after"] = str(retry_after_s)
        return Response(self.code, headers, msgspec.json.encode(self.status))


def what(resource: Resource) -> str:
    """Return the resource as the server spells it in messages."""
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def not_found(resource: Resource, name: str) -> Refusal:
    return Refusal(404, "NotFound", f'{what(resource)} "{name}" not found')


def no_kind() -> Refusal:
    return Refusal(404, "NotFound", "the server could not find the requested resource")


def no_namespace(name: str) -> Refusal:
    return Refusal(404, "NotFound", f'namespaces "{name}" not found')


def already_exists(resource: Resource, name: str) -> Refusal:
    return Refusal(409, "AlreadyExists", f'{what(resource)} "{name}" already exists')


def modified(resource: Resource, name: str) -> Refusal:
    message = (
        f'Operation cannot be fulfilled on {what(resource)} "{name}": the object has been '
        "modified; please apply your changes to the latest version and try again"
    )
    return Refusal(409, "Conflict", message)


def precondition(resource: Resource, name: str, problem: str) -> Refusal:
    message = f'Operation cannot be fulfilled on {what(resource)} "{name}": {problem}'
    return Refusal(409, "Conflict", message)


def invalid(resource: Resource, name: str, problem: str) -> Refusal:
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    return Refusal(422, "Invalid", f'{kind} "{name}" is invalid: {problem}')


def bad(message: str) -> Refusal:
    return Refusal(400, "BadRequest", message)


def expired(message: str) -> Refusal:
    return Refusal(410, "Expired", message)


def too_old(asked: int, oldest: int) -> Refusal:
    return expired(f"too old resource version: {asked} ({oldest})")


def internal(message: str) -> Refusal:
    return Refusal(500, "InternalError", f"Internal error occurred: {message}")
