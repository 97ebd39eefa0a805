"""Make the `_pb2` modules from the `.proto` files: `python -m rcm_agent.host.proto.generate`.

The results are in git. With `--check` nothing is written, and the exit code says whether they are
what the installed grpcio-tools would make; CI runs that.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]


def main(arguments: list[str]) -> int:
    """Generate, or compare."""
    with tempfile.TemporaryDirectory() as scratch:
        made = _generate(Path(scratch))
        if arguments == ["--check"]:
            return _compare(made)
        for path in made:
            (HERE / path.name).write_bytes(path.read_bytes())
    return 0


def _generate(scratch: Path) -> list[Path]:
    sources = sorted(str(path.relative_to(ROOT)) for path in HERE.glob("*.proto"))
    # A development tool: not there where the agent runs, so it is not imported.
    argv = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT}"]
    argv += [f"--python_out={scratch}", f"--pyi_out={scratch}", *sources]
    subprocess.run(argv, check=True)
    for stub in scratch.rglob("*_pb2.pyi"):
        stub.write_text(_typed(stub.read_text(encoding="utf-8")), encoding="utf-8")
    return sorted(scratch.rglob("*_pb2.py*"))


def _typed(stub: str) -> str:
    """Complete what protoc leaves out: the type arguments of `Mapping`."""
    return re.sub(r"\b_Mapping(?=\])", "_Mapping[str, object]", stub)


def _compare(made: list[Path]) -> int:
    stale = [path.name for path in made if not _same(path)]
    for name in stale:
        sys.stderr.write(f"{name} is stale: run python -m rcm_agent.host.proto.generate\n")
    return 1 if stale else 0


def _same(path: Path) -> bool:
    kept = HERE / path.name
    return kept.is_file() and kept.read_bytes() == path.read_bytes()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
