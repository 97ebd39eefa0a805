"""`make mutants`: breaks a copy of the code in each way of the catalogue, and runs its tests.

Prints which test caught which mutant; a survivor, or a mutant whose text is not there any more,
makes the exit code 1.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent import futures
from pathlib import Path

from tests.mutants import catalogue, client, controller, planner

ROOT = Path(__file__).parents[2]
COPIED = (
    "rcm_api",
    "rcm_agent",
    "rcm_controller",
    "manifests",
    "tests",
    "images",
    "pyproject.toml",
)
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
MUTANTS = (*catalogue.MUTANTS, *client.MUTANTS, *planner.MUTANTS, *controller.MUTANTS)
TIMEOUT_S = 300.0
"""For one mutant; a clean run of its tests takes well under a minute."""


def main(names: list[str]) -> int:
    """Run the mutants whose names contain one of `names`, all without any."""
    chosen = [m for m in MUTANTS if not names or any(n in m.name for n in names)]
    survivors = 0
    with futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for mutant, caught in zip(chosen, pool.map(run, chosen), strict=True):
            survivors += not caught
            print(f"{'caught' if caught else 'MISSED':8} {mutant.name:60} {caught}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} wrong variants caught")
    return 1 if survivors else 0


def run(mutant: catalogue.Mutant) -> str:
    """Return the first test that fails on the mutant; empty when none does."""
    with tempfile.TemporaryDirectory(prefix="rcm-mutant-") as scratch:
        copy = Path(scratch)
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
        target = copy / mutant.path
        text = target.read_text(encoding="utf-8")
        if text.count(mutant.old) != 1:
            return ""
        target.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        return _first_failure(copy, mutant)


def _first_failure(copy: Path, mutant: catalogue.Mutant) -> str:
    tests = [name for name in mutant.tests if (copy / name).exists()]
    argv = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:randomly", "--no-header"]
    argv += ["-p", "no:cacheprovider", "-m", "not node and not real", *tests]
    began = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            argv,
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no end within {TIMEOUT_S:.0f} s"
    found = _FAILED.search(done.stdout)
    name = found[1] if found else ""
    return f"{name} ({time.monotonic() - began:.0f} s)" if name else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
