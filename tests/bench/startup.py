"""What the agent costs before it does anything."""

from __future__ import annotations

import re

from tests.bench import figures, inside

RUNS = 7
SHOWN = 15
_LINE = re.compile(r"^import time: +(\d+) \| +(\d+) \| ( *)(\S+)$", re.MULTILINE)
_SCRIPT = (
    "export PYTHONPATH=/srv/rcm:/srv/rcm-deps PYTHONPYCACHEPREFIX=/var/cache/rcm-pycache; "
    "exec python3 -P {flags} -m rcm_agent --help"
)


def measure(bench: inside.Bench) -> figures.Figure:
    """Return the time of `--help`, and which imports take most."""
    runs = [bench.timed("rcm-agent", "--help") for _ in range(RUNS)]
    bare = [bench.timed("python3", "-P", "-c", "") for _ in range(RUNS)]
    said = bench.timed("sh", "-c", _SCRIPT.format(flags="-X importtime")).stderr
    rows = [(int(own), int(total), name) for own, total, _, name in _LINE.findall(said)]
    return {
        "help": figures.seconds([run.wall_s for run in runs]),
        "help_cpu": figures.seconds([run.cpu_s for run in runs]),
        "python_alone": figures.seconds([run.wall_s for run in bare]),
        "modules": len(rows),
        "largest_imports_ms": {
            name: round(total / 1000, 1)
            for _, total, name in sorted(rows, key=lambda row: -row[1])[:SHOWN]
        },
    }
