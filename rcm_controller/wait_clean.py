"""`rcm-controller wait-clean`: wait until nothing of ours is left in the cluster; change nothing.

Called by `cli`; the Helm chart runs it before it deletes anything, and people who delete by
kustomize run it by hand. Without controller and agents nobody would clean the nodes.
Exit codes: 0 clean, 1 not clean by the deadline, or stopped, 2 bad arguments.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

from rcm_api import names, noderuntime
from rcm_api.client import api, credentials, errors, http, resources
from rcm_controller import arguments, clean, clock

TIMEOUT = timedelta(minutes=4)
"""Helm itself gives up after five minutes, and would not say why."""
POLL_S = 2.0
"""Lists while Shims are there are small, and there are 120 of them at most by default."""


def main(argv: Sequence[str]) -> int:
    """Wait, and tell on stdout what for."""
    chosen = _parser().parse_args(argv)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    now = clock.SystemClock().monotonic
    try:
        client = _client(chosen.kubeconfig, now)
    except errors.NoCredentials as error:
        _tell(str(error))
        return 1
    until = now() + chosen.timeout.total_seconds()
    problem = wait(lambda: left(client), until=until, now=now, pause=stop.wait)
    _tell(problem or "no Shim is left, and all nodes are clean")
    return 1 if problem else 0


def _client(kubeconfig: str, now: Callable[[], float]) -> api.Client:
    logins = credentials.find(kubeconfig, environ=os.environ, now=now)
    logins.current()
    return api.Client(http.Http(logins, agent="rcm-controller"), manager=names.MANAGER)


def wait(
    look: Callable[[], str],
    *,
    until: float,
    now: Callable[[], float],
    pause: Callable[[float], bool],
) -> str:
    """Look until nothing is left; return what is left when time is up or `pause` says stop."""
    told = ""
    while problem := look():
        if problem != told:
            _tell(f"waiting: {problem}")
            told = problem
        if now() >= until or pause(POLL_S):
            return f"not clean: {problem}. Nothing was deleted; see README, Uninstall"
    return ""


def left(client: api.Client) -> str:
    """Say what is left; a cluster that cannot be asked is not clean."""
    try:
        shims = client.list(resources.SHIMS, decode=clean.parse)
        if shims:
            return clean.shims_left(shims)
        return clean.nodes_left(client.list(resources.NODERUNTIMES, decode=noderuntime.parse))
    except errors.NotFound:  # our kinds are gone, and with them every object
        return ""
    except errors.ApiError as error:
        return f"the API server cannot be asked: {error}"


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - for a person, or the log of a Job


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rcm-controller wait-clean",
        description="Wait until no Shim is left and all nodes are clean; change nothing.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--kubeconfig",
        default=os.environ.get("RCM_KUBECONFIG", ""),
        metavar="FILE",
        help="who we are and which cluster; default: the pod's own, else as kubectl",
    )
    parser.add_argument(
        "--timeout",
        type=arguments.span,
        default=TIMEOUT,
        metavar="SPAN",
        help="for example 90s, 10m, 1h (4m)",
    )
    return parser
