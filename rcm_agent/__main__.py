"""Runs the agent: `python -m rcm_agent` and the `rcm-agent` command."""

from __future__ import annotations

import sys

from rcm_agent import cli


def main() -> None:
    """Exit with the command's code."""
    sys.exit(cli.main())


if __name__ == "__main__":
    main()
