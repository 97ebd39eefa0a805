"""Runs the controller: `python -m rcm_controller` and the `rcm-controller` command."""

from __future__ import annotations

import sys

from rcm_controller import cli


def main() -> None:
    """Exit with the command's code."""
    sys.exit(cli.main())


if __name__ == "__main__":
    main()
