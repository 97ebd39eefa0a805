"""Runs the agent: `python -m rcm_agent` and the `rcm-agent` command."""

from __future__ import annotations

import gc
import os
import sys

_SELDOM = 100_000
"""Objects between two collections. One command makes fewer, and loading its 700 modules makes most
of them: with Python's default of 700, looking for garbage there takes 13 of 200 ms."""

gc.set_threshold(_SELDOM)

from rcm_agent import cli  # noqa: E402 - after the line above, which is for loading it


def main() -> None:
    """Exit with the command's code."""
    code = cli.main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Every file and lock of ours is closed by now; Python would spend 25 ms more on taking grpc
    # and all modules apart.
    os._exit(code)


if __name__ == "__main__":
    main()
