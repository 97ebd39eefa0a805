"""Runs inside a node: looks at it in one go, and puts it back between two tests.

    python3 inside.py look                  what this host is like, as JSON
    python3 inside.py keep                  remember this state
    python3 inside.py fresh [--restart]     go back to it

Standard library only, so that a look takes a tenth of a second.
"""

import base64
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ETC = pathlib.Path("/etc/containerd")
HOME = pathlib.Path("/opt/rcm")
RUN = pathlib.Path("/run/rcm")
KEPT = pathlib.Path("/root/as-found")
TRAPS = (
    pathlib.Path("/run/systemd/system/containerd.service.d"),
    pathlib.Path("/etc/systemd/system/containerd.service.d"),
)
MOUNTS = ("/opt/rcm", "/opt", "/etc/containerd", "/host")
# Of systemd's message "Starting ...", which it writes for each start of a unit.
_STARTING = "7d4958e842da4a758f6c1cdc7b36dcc5"


def look():
    """Return everything that a test may want to compare."""
    return {
        "config": _contents(ETC),
        "files": {**_stats(ETC), **_stats(HOME), **_stats(RUN)},
        "containerd": _containerd(),
        "starts": starts(),
        "units": _units(),
        "processes": processes(),
    }


def starts():
    """Return how often containerd's unit was started since the node booted."""
    asked = ["journalctl", "--quiet", "--output=cat", f"MESSAGE_ID={_STARTING}"]
    return len(_said([*asked, "UNIT=containerd.service"]).splitlines())


def processes():
    """Return every process that runs a binary of the store: pid to path."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                exe = str((entry / "exe").readlink())
            except OSError:
                continue
            if exe.startswith(f"{HOME}/"):
                found[entry.name] = exe
    return found


def fresh(*, restart):
    """Put back what `keep` remembered."""
    trapped = [trap for trap in TRAPS if trap.exists()]
    mounted = [path for path in MOUNTS if _unmount(path)]
    changed = _contents(ETC) != _contents(KEPT, as_if=ETC)
    used = any(name != "partial" for name in _names(HOME)) or (RUN / "rcm.toml").exists()
    for trap in trapped:
        shutil.rmtree(trap)
    if not (restart or trapped or mounted or changed or used or _units()):
        _forget_restarts()
        return
    _run("systemctl", "stop", "--no-block", "rcm-*")
    _put_back()
    for pid in processes():
        _run("kill", "-9", pid)
    shutil.rmtree(RUN, ignore_errors=True)
    _run("rm", "-rf", str(HOME))
    _run("systemctl", "daemon-reload")
    _forget_restarts()
    _run("systemctl", "restart", "containerd")
    _wait()


def keep():
    """Remember this state."""
    shutil.rmtree(KEPT, ignore_errors=True)
    if ETC.exists():
        shutil.copytree(ETC, KEPT, symlinks=True)
    else:
        KEPT.mkdir()


def _forget_restarts():
    # Tests follow each other faster than the agent, and systemd, let containerd restart.
    (RUN / "restarts.json").unlink(missing_ok=True)
    _run("systemctl", "reset-failed")


def _put_back():
    ETC.mkdir(exist_ok=True)
    for name in _names(ETC):
        _run("rm", "-rf", str(ETC / name))
    _run("cp", "-a", f"{KEPT}/.", f"{ETC}/")


def _wait():
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        done = subprocess.run(
            ["ctr", "--connect-timeout=1s", "version"], capture_output=True, check=False
        )
        if done.returncode == 0:
            return
        time.sleep(0.05)


def _unmount(path):
    found = False
    while os.path.ismount(path):
        found = True
        subprocess.run(["umount", "-R", "-l", path], check=True)
    return found


def _names(directory):
    return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []


def _contents(base, as_if=None):
    return {
        str((as_if or base) / path.relative_to(base)): base64.b64encode(path.read_bytes()).decode()
        for path in sorted(base.rglob("*"))
        if path.is_file()
    }


def _stats(base):
    """Return what changes when anybody writes: a change of mode, owner or time shows, too."""
    found = {}
    for path in [base, *sorted(base.rglob("*"))] if base.exists() else []:
        stat = path.lstat()
        target = str(path.readlink()) if path.is_symlink() else ""
        found[str(path)] = [stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, target]
    return found


def _containerd():
    pid = _said(["systemctl", "show", "--property=MainPID", "--value", "containerd"]).strip()
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return [0, 0]
    return [int(pid), int(stat.rpartition(")")[2].split()[19])]


def _units():
    asked = ["systemctl", "list-units", "--all", "--plain", "--no-legend", "rcm-*"]
    return re.findall(r"^(\S+)", _said(asked), re.MULTILINE)


def _said(argv):
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def _run(*argv):
    subprocess.run(argv, capture_output=True, check=False)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["look"]:
            print(json.dumps(look()))
        case ["keep"]:
            keep()
        case ["fresh", *flags]:
            fresh(restart="--restart" in flags)
