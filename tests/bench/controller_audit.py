"""What the controller asked of the API server, as the API server saw it.

`apiserver_request_total` does not say who asked, so an audit policy notes every request of one
user, and nobody else's: verb, kind and answer, a line each.
"""

from __future__ import annotations

import json
import pathlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

USER = "rcm-bench-controller"
WRITES = frozenset({"create", "update", "patch", "delete"})
LEASE = "leases"


def flags(directory: pathlib.Path, *, users: Sequence[str] = (USER,)) -> tuple[str, ...]:
    """Write a policy that notes what these users do; return the API server's flags for it."""
    policy = directory / "audit-policy.json"
    policy.write_text(json.dumps(_policy(users)))
    return (
        f"--audit-policy-file={policy}",
        f"--audit-log-path={log(directory)}",
        "--audit-log-mode=batch",
        "--audit-log-batch-max-wait=1s",
    )


def _policy(users: Sequence[str]) -> dict[str, Any]:
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "rules": [
            {"level": "Metadata", "users": list(users), "omitStages": ["RequestReceived"]},
            {"level": "None"},
        ],
    }


def log(directory: pathlib.Path) -> pathlib.Path:
    """Return where the lines go."""
    return directory / "audit.log"


class Audit:
    """Counts a user's requests from one moment to the next."""

    def __init__(self, directory: pathlib.Path, *, user: str = USER) -> None:
        self._path = log(directory)
        self._user = user
        self._offset = 0

    def since_last(self) -> Counter[str]:
        """Return requests since the last call, as `verb kind` (watches when they begin)."""
        mine = (each for each in self._events() if each["user"]["username"] == self._user)
        return Counter(_key(event) for event in mine if _counts(event))

    def _events(self) -> Iterator[dict[str, Any]]:
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                yield json.loads(line)


def _counts(event: dict[str, Any]) -> bool:
    return bool(
        event["stage"] == ("ResponseStarted" if event["verb"] == "watch" else "ResponseComplete")
    )


def _key(event: dict[str, Any]) -> str:
    about = event.get("objectRef", {})
    kind = "/".join(filter(None, (about.get("resource"), about.get("subresource"))))
    code = event.get("responseStatus", {}).get("code", 0)
    return f"{event['verb']} {kind or event['requestURI']}" + (f" {code}" if code >= 400 else "")


def writes(found: Counter[str]) -> int:
    """Count writes, but those of the Lease."""
    return sum(n for key, n in found.items() if key.split()[0] in WRITES and LEASE not in key)


def lists(found: Counter[str]) -> int:
    """Count LIST requests; pages of one list count each."""
    return sum(n for key, n in found.items() if key.split()[0] == "list")
