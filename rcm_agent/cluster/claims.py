"""What the agent's own token says about it. Pure.

Called by `run`. Nothing is verified here: the API server does that, and only the agent itself reads
this, to know which Node it runs on.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

_PARTS = 3


def node_uid(authorization: str) -> str:
    """Return the UID of the Node that a service account's token is bound to.

    Empty where the token has no such claim: Kubernetes before 1.30, certificates, tokens of people.
    """
    parts = authorization.rpartition(" ")[2].split(".")
    if len(parts) != _PARTS:
        return ""
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        claims: Any = msgspec.json.decode(base64.urlsafe_b64decode(padded))
        return str(claims["kubernetes.io"]["node"]["uid"])
    except (binascii.Error, ValueError, msgspec.DecodeError, KeyError, TypeError):
        return ""
