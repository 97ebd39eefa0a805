"""What a Shim may say of its artifact, checked once more where it matters.

Called by `store` before anything else; `rcm_api` has judged the syntax long before.
"""

from __future__ import annotations

import hashlib

from rcm_agent import errors
from rcm_agent.host import entries, terms


def check(source: terms.Source, *, trust_on_first_use: bool) -> None:
    """Refuse what nobody could check.

    Raises:
        FetchError: no digest and no leave to do without, or a member or digest that is none.
    """
    if source.binary is not None and not entries.is_member(source.binary):
        raise errors.FetchError(
            f"binary {errors.clip(source.binary)!r} is not the name of an archive's member",
            advice="write the member's path as `tar -t` shows it",
        )
    if source.sha256 is not None:
        if not entries.is_digest(source.sha256):
            raise errors.FetchError(
                f"sha256 {errors.clip(source.sha256)!r} is not 64 lower-case hex digits",
                advice="give what sha256sum prints",
            )
    elif source.location.lower().startswith("http:"):
        raise errors.FetchError(
            "the location is http:// and no sha256 is given",
            advice="use https://, or give sha256",
        )
    elif not trust_on_first_use:
        raise errors.FetchError(
            "the Shim gives no sha256 to check the download with",
            advice="give sha256, or trust the first download with --trust-on-first-use",
        )


def key(source: terms.Source) -> str:
    """Name the partial file: after the artifact, or after where an unknown one comes from."""
    if source.sha256 is not None:
        return source.sha256
    return "first-use-" + hashlib.sha256(source.location.encode()).hexdigest()
