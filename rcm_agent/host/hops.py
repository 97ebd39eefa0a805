"""From a URL to the answer that has the bytes: redirects followed by hand, each hop checked.

Called by `download`. Each hop is a connection of its own, with nothing carried over: no cookies,
no credentials, no referrer.
"""

from __future__ import annotations

from collections.abc import Mapping

from rcm_agent import errors
from rcm_agent.host import addresses, dial, limits, locations, terms

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def follow(
    location: locations.Location,
    headers: Mapping[str, str],
    *,
    policy: terms.Policy,
    kept: limits.Limits,
    trusted: bool = False,
) -> tuple[locations.Location, dial.Answer]:
    """Return the first answer that is not a redirect, and from where it came.

    `trusted`: the administrator named this host and port, so it may be private; no other may.

    Raises:
        FetchError: a hop leads where we do not go, or there are too many.
        dial.Unreachable: the network failed.
    """
    here = location
    for _ in range(policy.max_redirects + 1):
        named = trusted and (here.host, here.port) == (location.host, location.port)
        private = policy.allow_private or named
        dialer = dial.Dialer(kept, allow_private=private)
        answer = _ask(here, headers, dialer=dialer, ca_file=policy.ca_file)
        if answer.status not in _REDIRECTS:
            return here, answer
        answer.close()
        here = locations.redirected(here, answer.headers.get("Location", ""))
    raise errors.FetchError(
        f"{location.shown} redirects more than {policy.max_redirects} times",
        advice="use the location that it leads to",
    )


def _ask(
    here: locations.Location,
    headers: Mapping[str, str],
    *,
    dialer: dial.Dialer,
    ca_file: str | None,
) -> dial.Answer:
    try:
        return dial.ask(here, headers, dialer=dialer, ca_file=ca_file)
    except addresses.Refused as refused:
        raise errors.FetchError(
            f"{here.shown}: its host has the address {refused.address} ({refused.why})",
            advice="use a public host, a mirror from the agent's settings, or --allow-private",
        ) from refused
