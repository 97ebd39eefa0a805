"""The second `apply`: nothing to do, quickly, and without writing anything.

Writes are seen twice: strace shows every call that could change a file, and a listing of the
host's directories before and after shows whether any did.
"""

from __future__ import annotations

import re

from tests.bench import figures, inside

BAR_S = 0.7
RUNS = 7
_TRACE = "/tmp/rcm-bench.strace"
_WRITES = "write,writev,pwrite64,pwritev,pwritev2,sendfile,copy_file_range,splice"
_CHANGES = (
    "mkdir,mkdirat,rmdir,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,"
    "chmod,fchmod,fchmodat,chown,fchown,fchownat,lchown,truncate,ftruncate,fallocate,mknod,mknodat,"
    "utime,utimes,utimensat,futimesat,setxattr,fsetxattr,lsetxattr,fsync,fdatasync"
)
_WRITE = re.compile(rf"^\d+ +(?:{_WRITES.replace(',', '|')})\(\d+<(/[^>]*)>.* = [1-9]")
# A call that another thread interrupted is two lines; the second has the result.
_CHANGE = re.compile(rf"^\d+ +(?:<\.\.\. )?(?:{_CHANGES.replace(',', '|')})(?:\(| resumed>).* = 0")
_NO_FILE = ("/proc/", "/dev/")
_LISTING = "find /etc /opt /root /run/rcm /usr /var/lib/rcm* -printf '%p %i %s %m %T@ %C@\\n'"


def measure(bench: inside.Bench) -> figures.Figure:
    """Return wall time and writes; the Shim is installed already."""
    runs = [bench.agent("apply", "-f", inside.MANIFEST) for _ in range(RUNS)]
    assert all('"changed": false' in run.stderr for run in runs)
    return {
        "wall": figures.seconds([run.wall_s for run in runs], bar=BAR_S),
        "cpu": figures.seconds([run.cpu_s for run in runs]),
        "writes": _writes(bench),
    }


def _writes(bench: inside.Bench) -> figures.Figure:
    before = _listing(bench)
    argv = ["strace", "-f", "-y", "-o", _TRACE, "-e", f"trace={_WRITES},{_CHANGES}"]
    bench.node.exec([*argv, "rcm-agent", "apply", "-f", inside.MANIFEST])
    trace = bench.node.read(_TRACE).decode(errors="replace").splitlines()
    calls = [line for line in trace if _writes_a_file(line)]
    changed = before ^ _listing(bench)
    return figures.judged(
        len(calls),
        bar=0,
        how="strace -f of every call that writes to or changes a file; listing before and after",
        calls=calls,
        changed_files=sorted({line.split()[0] for line in changed}),
    ) | {"met": not calls and not changed}


def _writes_a_file(line: str) -> bool:
    write = _WRITE.match(line)
    if write is not None:
        return not write[1].startswith(_NO_FILE)
    return _CHANGE.match(line) is not None


def _listing(bench: inside.Bench) -> set[str]:
    script = f"{_LISTING} 2>/dev/null || true"
    return set(bench.node.exec(["sh", "-c", script]).stdout.splitlines())
