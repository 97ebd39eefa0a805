"""Runs a command and prints what it cost, as JSON. Runs inside a node: `inside` starts it.

The command's own time: neither Docker's way into the node nor our start is in it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time


def main(argv: list[str]) -> None:
    """Run `argv` to its end; its output goes into the JSON."""
    began = time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    ended = time.monotonic()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        json.dumps(
            {
                "began": began,
                "ended": ended,
                "cpu_s": used.ru_utime + used.ru_stime,
                "peak_rss_kib": used.ru_maxrss,
                "exit_code": done.returncode,
                "stdout": done.stdout,
                "stderr": done.stderr,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:])
