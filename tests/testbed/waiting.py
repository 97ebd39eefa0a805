"""Waits for a condition with a deadline, and says what was seen last when it passes."""

import collections.abc
import time
import typing

from tests.testbed import errors

_POLL_S = 0.1
_SEEN_CHARACTERS = 2000

Seen = typing.TypeVar("Seen")


def until(
    what: str,
    look: collections.abc.Callable[[], Seen],
    *,
    good: collections.abc.Callable[[Seen], object] = bool,
    timeout_s: float = 60.0,
) -> Seen:
    """Look until what is seen is good, and return it.

    Args:
        what: What is waited for, as it continues "waited 60 s for".
        look: Its NodeErrors mean "not yet".
        good: Judges what `look` returned.
        timeout_s: For how long.

    Raises:
        NodeError: The time passed; with what was seen last.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        seen: object
        try:
            found = look()
            if good(found):
                return found
            seen = found
        except errors.NodeError as error:
            seen = error
        if time.monotonic() > deadline:
            raise errors.NodeError(
                f"waited {timeout_s:g} s for {what}; seen last: {str(seen)[-_SEEN_CHARACTERS:]}"
            )
        time.sleep(_POLL_S)
