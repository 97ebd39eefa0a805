"""The journal's text: records to JSON and back.

Pure. `journal_file` reads and writes it. A journal of a newer format is refused, never guessed at.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rcm_agent import errors, records

FORMAT = 1
"""Version of the file format; raise it when an old agent could misread a new file."""


def encode(journal: records.Journal) -> bytes:
    """Return the journal as readable JSON that ends with a newline."""
    document = {"format": FORMAT, **asdict(journal)}
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def decode(data: bytes | None) -> records.Journal:
    """Return the records; an absent file is an empty journal.

    Raises:
        HostError: the file is not ours, damaged, or of a newer format.
    """
    if data is None:
        return records.Journal()
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise _unusable(f"its format is {document['format']!r}, this agent knows {FORMAT}")
        operation = document["operation"]
        return records.Journal(
            current=_generation(document["current"]),
            operation=None if operation is None else _operation(operation),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable(f"{type(error).__name__}: {error}") from error


def _unusable(reason: str) -> errors.HostError:
    return errors.HostError(
        f"the journal cannot be used: {errors.clip(reason)}",
        advice="use the agent that wrote it, or follow 'Undo by hand' in the README",
    )


def _generation(found: dict[str, Any]) -> records.Generation:
    rest: dict[str, Any] = {
        **found,
        "shims": tuple(records.Installed(**s) for s in found["shims"]),
        "owned": tuple(records.OwnedFile(**o) for o in found["owned"]),
    }
    return records.Generation(**rest)


def _operation(found: dict[str, Any]) -> records.Operation:
    rest: dict[str, Any] = {
        **found,
        "step": records.Step(found["step"]),
        "steps": tuple(records.Step(s) for s in found["steps"]),
        "handlers": tuple(found["handlers"]),
        "files": tuple(records.FileChange(**f) for f in found["files"]),
        "links": tuple(records.LinkChange(**link) for link in found["links"]),
        "prove": tuple(found["prove"]),
        "after": _generation(found["after"]),
    }
    return records.Operation(**rest)
