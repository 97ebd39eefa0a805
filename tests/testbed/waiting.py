"""Waits: for a condition, with a deadline and with what was seen last, and for work side by side."""

import collections.abc
import concurrent.futures
import time
import typing

from tests.testbed import errors

_POLL_S = 0.1
_SEEN_CHARACTERS = 2000

Seen = typing.TypeVar("Seen")
Item = typing.TypeVar("Item")


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


def side_by_side(
    work: collections.abc.Callable[[Item], object], items: collections.abc.Sequence[Item]
) -> None:
    """Do the same with all items at once; wait for all, and raise what the first of them raised."""
    with concurrent.futures.ThreadPoolExecutor(max(1, len(items))) as pool:
        for future in [pool.submit(work, item) for item in items]:
            future.result()
