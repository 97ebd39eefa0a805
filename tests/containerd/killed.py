"""Runs the agent inside a node and interferes at a named point.

    python3 killed.py run SPEC COMMAND ...     one run of the agent
    python3 killed.py sweep SPEC               one run killed at each point, and what came of it

SPEC is JSON. Of a run:

    at        list of [when, point, action]: `before` or `after` a point; the action is `kill`
              (SIGKILL for the agent), `wait` (go on when /run/go-on is there) or a shell command
    settings  module attributes of rcm_agent.settings to change, for example SWITCH_DELAY_S
    chosen    fields of the run's Settings to change, for example prove_timeout_s

Points are the steps of the journal (`restart`), the parts of undoing (`undo.files`), the call to
systemd (`systemctl`), and the moment between reading and renaming a file (`rename PATH`). The first
time counts.

A sweep has one Python that forks for every run, because loading the agent takes longer than what
it does. Of a sweep:

    start     the manifest that is installed before each run; null: nothing is
    command   what is killed
    at        interferences in every run, before any kill
    whens     `before`, `after` or both: the points that count
    only      prefix of the points that count, for example `undo.`
    recover   what comes after the kill, for points in turn
"""

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import grpc  # noqa: F401 -- loaded once, before the forks
import yaml  # noqa: F401

from rcm_agent import back, cli, forward, settings, transaction
from rcm_agent.host import kernel, systemd
from tests.containerd import inside

_GO_ON = pathlib.Path("/run/go-on")
_UNDO = ("_guard", "_proofs", "_files", "_links", "_containerd", "_leftovers")


class Points:
    """The points that a run passes, and what is to happen there."""

    def __init__(self, at, seen=None):
        self._at = at
        self._seen = seen
        self._passed = set()

    def wrap(self, owner, attribute, name):
        """Make a function of the agent pass a point."""
        whole = getattr(owner, attribute)

        def wrapped(*args, **named):
            point = name(*args)
            self._pass("before", point)
            result = whole(*args, **named)
            self._pass("after", point)
            return result

        setattr(owner, attribute, wrapped)

    def _pass(self, when, point):
        if (when, point) in self._passed:
            return
        self._passed.add((when, point))
        if self._seen is not None:
            with self._seen.open("a") as file:
                file.write(json.dumps([when, point]) + "\n")
        for moment, place, action in self._at:
            if (moment, place) == (when, point):
                _act(action)


def _act(action):
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "wait":
        pathlib.Path("/run/waiting").touch()
        while not _GO_ON.exists():
            time.sleep(0.02)
    else:
        subprocess.run(["sh", "-c", action], check=True, capture_output=True)


def run(spec, argv, *, seen=None):
    """Run the agent with interferences; its exit code."""
    points = Points(spec.get("at", ()), seen)
    points.wrap(forward, "take", lambda _work, step, _operation: str(step))
    points.wrap(transaction, "_settle", lambda *_: "settle")
    for part in _UNDO:
        points.wrap(back, part, lambda *_, part=part: f"undo.{part.strip('_')}")
    points.wrap(systemd.RealSystemd, "restart", lambda *_: "systemctl")
    points.wrap(kernel.RealKernel, "create", lambda _self, path, _mode: _rename(path))
    for name, value in spec.get("settings", {}).items():
        setattr(settings, name, value)
    chosen = cli._settings
    changes = spec.get("chosen", {})
    cli._settings = lambda arguments: dataclasses.replace(chosen(arguments), **changes)
    return cli.main(argv)


def sweep(spec):
    """Kill a run at each of its points and tell what became of the host, one line for each."""
    _to(spec["start"])
    seen = pathlib.Path("/run/seen")
    seen.unlink(missing_ok=True)
    whole = _fork(spec, spec["command"], seen=seen)
    passed = [tuple(json.loads(line)) for line in seen.read_text().splitlines()]
    points = [(when, point) for when, point in passed if _counts(spec, when, point)]
    _tell(points=points, whole=whole, **_end(spec))
    recover = itertools.cycle(spec["recover"])
    for when, point in points:
        began = time.monotonic()
        starts = inside.starts()
        at = [*spec.get("at", ()), [when, point, "kill"]]
        killed = _fork({**spec, "at": at}, spec["command"])
        command = next(recover)
        recovered = _fork({}, command)
        starts = inside.starts() - starts
        facts = {"when": when, "point": point, "killed": killed, "command": command}
        facts |= {"recovered": recovered, "starts": starts, **_end(spec)}
        _tell(**facts, seconds=round(time.monotonic() - began, 2))


def _end(spec):
    """Return what the host is like, then lead it back to the start."""
    status = json.loads(_fork({}, ["status", "-o", "json"])["out"])
    found = inside.look()
    led = _to(spec["start"])
    return {"status": status, "look": found, "led": led, "after": inside.look()}


def _to(start):
    """Lead the host to the start of a run; what that says."""
    inside._forget_restarts()
    if start is not None:
        done = _fork({}, ["apply", "-f", start])
    elif names := [
        s["name"] for s in json.loads(_fork({}, ["status", "-o", "json"])["out"])["shims"]
    ]:
        done = _fork({}, ["remove", *names])
    else:
        done = {"code": 0, "out": "", "err": ""}
    inside._forget_restarts()
    return done


def _counts(spec, when, point):
    if when not in spec["whens"] or point.startswith("rename ") or point == "systemctl":
        return False
    return point.startswith(spec.get("only", ""))


def _rename(path):
    return f"rename {path.removesuffix('.rcm-tmp')}"


def _fork(spec, argv, *, seen=None):
    out, err = (pathlib.Path(f"/run/killed.{name}") for name in ("out", "err"))
    pid = os.fork()
    if pid == 0:
        _child(spec, argv, seen, out, err)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "out": out.read_text(), "err": err.read_text()}


def _child(spec, argv, seen, out, err):
    code = 70
    try:
        with (
            out.open("w") as one,
            err.open("w") as two,
            contextlib.redirect_stdout(one),
            contextlib.redirect_stderr(two),
        ):
            try:
                code = run(spec, argv, seen=seen)
            except BaseException as error:  # noqa: BLE001 -- told, then the child ends
                print(repr(error), file=sys.stderr)
    finally:
        os._exit(code)


def _tell(**facts):
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run", text, *words]:
            sys.exit(run(json.loads(text), words))
        case ["sweep", text]:
            sweep(json.loads(text))
