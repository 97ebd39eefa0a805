"""What the demos promise, checked: called by both stories."""

from tests.testbed import errors


def demand(kept: bool, otherwise: str) -> None:  # noqa: FBT001 -- reads as a sentence
    """Go on if a promise was kept.

    Raises:
        NodeError: It was not; with what was seen.
    """
    if not kept:
        raise errors.NodeError(otherwise)
