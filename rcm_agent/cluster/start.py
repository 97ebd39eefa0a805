"""Starts the agent in a cluster: credentials, log, signals. Called by `cli`, which loads it late."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time

import structlog

from rcm_agent.cluster import run, settings
from rcm_agent.host import allocator
from rcm_api import log
from rcm_api.client import credentials, errors, http

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

_ENDS = frozenset({signal.SIGTERM, signal.SIGINT})
COLLECT_EVERY = 5_000
"""Objects between two collections: few are made, and an idle agent shall stay small. A guess."""


def start(chosen: settings.Settings) -> int:
    """Run until a signal comes; returns the exit code."""
    allocator.few_arenas()
    log.configure(sys.stderr, as_json=chosen.log_json, debug=chosen.debug)
    try:
        logins = credentials.find(chosen.kubeconfig, environ=os.environ, now=time.monotonic)
        logins.current()
        program = run.Program(http.Http(logins, agent="rcm-agent"), logins, chosen)
    except (errors.NoCredentials, OSError) as error:
        _log.error("cannot run", problem=str(error))
        return 1

    allocator.give_back()
    gc.freeze()  # modules live as long as we do: collections need not look at them
    gc.set_threshold(COLLECT_EVERY)
    # Waited for and not handled: a handler runs inside of whatever holds a lock at that moment.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    work = threading.Thread(target=program.run, name="turn")
    work.start()
    signal.sigwait(_ENDS)
    program.end()
    work.join()
    return 0
