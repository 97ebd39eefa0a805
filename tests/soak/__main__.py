"""Lives as many lives as asked for on one cluster: `python -m tests.soak --runs 30 --seed 1`.

One line per life on stdout. A life that goes wrong is told with its seed, which alone repeats its
kills: `--runs 1 --seed N`. The exit code is 1 if there was one.
"""

import argparse
import pathlib
import sys
import tempfile
import time

from tests.e2e import support
from tests.soak import life
from tests.testbed import cluster_fixtures, clusters, errors, fileserver


def main() -> int:
    """Live, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1, help="of the first life; the next adds one")
    chosen = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rcm-soak-") as name:
        wrong = _lives(pathlib.Path(name), range(chosen.seed, chosen.seed + chosen.runs))
    minutes = (time.monotonic() - began) / 60
    print(f"{chosen.runs} lives in {minutes:.0f} min, {len(wrong)} went wrong {wrong or ''}")
    return 1 if wrong else 0


def _lives(directory: pathlib.Path, seeds: range) -> list[int]:
    """Live all, and return the seeds of those that went wrong."""
    (directory / "cluster").mkdir()
    with (
        clusters.start(directory / "cluster", nodes=cluster_fixtures.NODES) as cluster,
        fileserver.start(cluster.gateway) as files,
    ):
        product = support.Product(cluster, files, directory)
        product.install()
        return [seed for seed in seeds if not _goes_well(product, seed)]


def _goes_well(product: support.Product, seed: int) -> bool:
    try:
        life.live(product, seed)
        _end(product)
    except (AssertionError, errors.TestbedError) as error:
        print(f"seed {seed} WENT WRONG: {error}\n{product.story()}", flush=True)
        for namespace in (support.AGENTS, support.SYSTEM):
            print(product.last_words(namespace), flush=True)
        _end(product)
        return False
    return True


def _end(product: support.Product) -> None:
    """Make everything ready for another life; that this fails twice ends all of it."""
    product.clean()
    life.rest(product)


if __name__ == "__main__":
    sys.exit(main())
