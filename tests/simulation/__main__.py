"""Simulates on demand: `make simulate STEPS=10000000 SEED=1`, or one seed once more."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation import life, scene


def main() -> None:
    """Run lives and tell what they came to; the first broken invariant ends it."""
    options = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--steps", type=int, default=1, help="at least; default: one life")
    chosen = options.parse_args()
    began, done = time.monotonic(), 0
    for count, outcome in enumerate(life.lives(chosen.seed, chosen.steps), start=1):
        done += outcome.steps
        took = time.monotonic() - began
        if count % 50 == 1 or done >= chosen.steps:
            print(f"{count} lives, {done} steps, {done / took:.0f}/s; {outcome}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except scene.Broken as broken:
        sys.exit(str(broken))
