"""What all steps of one download share, and the one refusal that several of them give.

Made by `store`; read by `download` and `transfer`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rcm_agent import errors
from rcm_agent.host import locations, partials, terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One artifact to bring into one partial file."""

    sha256: str | None
    policy: terms.Policy
    timing: terms.Timing
    tell: Callable[[terms.Progress], None]
    partial: partials.Partial


def too_large(place: locations.Location, policy: terms.Policy) -> errors.FetchError:
    """Say that the artifact is over the cap."""
    return errors.FetchError(
        f"{place.shown} has more than the {policy.max_bytes} bytes allowed",
        advice="check the location, or raise the limit in the agent's settings",
    )
