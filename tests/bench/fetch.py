"""How long it takes to fetch, verify and store a file, beside `curl` + `sha256sum` + `sync`.

`measure_fetch()` serves one file from a process of its own on loopback and runs both sides in turn,
each into an empty directory of the same disk. Ours is a process of its own too, so that its peak
memory is that of a fetch and nothing else; `sync FILE` is what our fsync has to keep up with.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.fakes import shims

ROUNDS = 5
"""The median of five is steady to 5 % on a machine that does other things too."""
MEGABYTES = 100
_BLOCK = 1 << 20


def measure_fetch(
    *, megabytes: int = MEGABYTES, rounds: int = ROUNDS, directory: str | None = None
) -> dict[str, Any]:
    """Return medians in seconds, their ratio, and our peak memory in MiB.

    `ratio` is of the fetch itself with its imports; `ratio_process` adds Python's start.
    """
    with tempfile.TemporaryDirectory(dir=directory) as place:
        base = Path(place)
        digest = _make_file(base / "shim", megabytes)
        with _serving(base / "shim") as url:
            ours, theirs = _alternate(base, url, digest, rounds=rounds)
    fetch = statistics.median(run["fetch_s"] for run in ours)
    process = statistics.median(run["process_s"] for run in ours)
    by_hand = statistics.median(theirs)
    return {
        "megabytes": megabytes,
        "rounds": rounds,
        "fetch_s": round(fetch, 4),
        "process_s": round(process, 4),
        "by_hand_s": round(by_hand, 4),
        "ratio": round(fetch / by_hand, 3),
        "ratio_process": round(process / by_hand, 3),
        "verify_s": round(statistics.median(run["verify_s"] for run in ours), 4),
        "peak_rss_mib": round(max(run["peak_rss_mib"] for run in ours), 1),
    }


def _alternate(
    base: Path, url: str, digest: str, *, rounds: int
) -> tuple[list[dict[str, float]], list[float]]:
    ours: list[dict[str, float]] = []
    theirs: list[float] = []
    for _ in range(rounds):
        with _emptied(base / "ours") as place:
            ours.append(_ours(place, url, digest))
        with _emptied(base / "theirs") as place:
            theirs.append(_by_hand(place, url))
    return ours, theirs


@contextlib.contextmanager
def _emptied(place: Path) -> Iterator[Path]:
    place.mkdir()
    os.sync()
    try:
        yield place
    finally:
        shutil.rmtree(place)


def _make_file(path: Path, megabytes: int) -> str:
    """Write a program of that size whose bytes do not compress; return its digest."""
    total = hashlib.sha256()
    chance = random.Random(1)  # noqa: S311 - only has to be incompressible
    with path.open("wb") as file:
        for block in (shims.binary(), *(chance.randbytes(_BLOCK) for _ in range(megabytes))):
            file.write(block)
            total.update(block)
    return total.hexdigest()


def _by_hand(place: Path, url: str) -> float:
    target = str(place / "shim")
    begin = time.perf_counter()
    for argv in (("curl", "-sfo", target, url), ("sha256sum", target), ("sync", target)):
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def _ours(place: Path, url: str, digest: str) -> dict[str, float]:
    begin = time.perf_counter()
    done = subprocess.run(
        _self("get", str(place), url, digest), check=True, stdout=subprocess.PIPE, cwd=_repository()
    )
    process_s = time.perf_counter() - begin
    said: dict[str, float] = json.loads(done.stdout)
    return said | {"process_s": process_s}


@contextlib.contextmanager
def _serving(file: Path) -> Iterator[str]:
    with subprocess.Popen(
        _self("serve", str(file)), stdout=subprocess.PIPE, cwd=_repository()
    ) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/shim"
        finally:
            server.terminate()


def _self(*argv: str) -> Sequence[str]:
    return (sys.executable, "-m", "tests.bench.fetch", *argv)


def _repository() -> Path:
    return Path(__file__).parents[2]


# --- the two processes ------------------------------------------------------------------------


def _get(root: str, url: str, digest: str) -> None:
    from rcm_agent.host import kernel, store, terms  # noqa: PLC0415 - its cost is not the server's

    door = kernel.RealKernel(root)
    begin = time.perf_counter()
    store.ensure(
        door,
        terms.Source(location=url, sha256=digest),
        machine="amd64",
        policy=terms.Policy(allow_private=True),
        timing=terms.Timing(clock=time.monotonic, wait=time.sleep, jitter=lambda: 0.5),
        progress=lambda _: None,
        trust_on_first_use=False,
    )
    fetched = time.perf_counter()
    assert store.verify(door, digest).stored is not None
    verified = time.perf_counter()
    print(
        json.dumps(
            {
                "fetch_s": fetched - begin,
                "verify_s": verified - fetched,
                "peak_rss_mib": _peak_rss_kib() / 1024,
            }
        )
    )


def _peak_rss_kib() -> int:
    """Return VmHWM; `ru_maxrss` would count what the parent had before exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def _serve(file: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            sock, _ = listener.accept()
            with sock, Path(file).open("rb") as content, contextlib.suppress(OSError):
                sock.recv(65536)
                size = os.fstat(content.fileno()).st_size
                sock.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
                sock.sendfile(content)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["get", root, url, digest]:
            _get(root, url, digest)
        case ["serve", file]:
            _serve(file)
        case _:
            print(json.dumps(measure_fetch(), indent=2))
