"""The command line of the controller: arguments and environment in, exit code out.

Called by `__main__`. Every flag has a variable: `--write-budget` is `RCM_WRITE_BUDGET`.
Exit codes: 0 stopped by a signal, 1 cannot run (no credentials, address taken), 2 bad arguments.
"""

from __future__ import annotations

import argparse
import gc
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import structlog

from rcm_api import log
from rcm_api.client import credentials, errors, http
from rcm_controller import arguments as texts
from rcm_controller import clock, run, settings, wait_clean, world

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
FALLBACK_NAMESPACE = "kube-system"
"""For a run from a laptop: every cluster has it."""
_POLICY = world.Policy()


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal comes; `wait-clean` is a command of its own."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["wait-clean"]:
        return wait_clean.main(words[1:])
    arguments = _parser().parse_args(words)
    chosen = _settings(arguments)
    log.configure(sys.stderr, as_json=chosen.log_json, debug=chosen.debug)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        _program(chosen).run(stop)
    except (errors.NoCredentials, OSError) as error:
        _log.error("cannot run", problem=str(error))
        return 1
    return 0


def _program(chosen: settings.Settings) -> run.Program:
    logins = credentials.find(
        chosen.kubeconfig, environ=os.environ, now=clock.SystemClock().monotonic
    )
    logins.current()
    gc.freeze()  # modules live as long as we do: collections need not look at them
    moves = http.Http(logins, agent="rcm-controller")
    return run.Program(moves, chosen, identity=_identity(chosen))


def _identity(chosen: settings.Settings) -> str:
    """Return a name that no other process has, whatever people configure."""
    return f"{chosen.identity or socket.gethostname()}_{secrets.token_hex(4)}"


def _settings(arguments: argparse.Namespace) -> settings.Settings:
    host, port = arguments.metrics_address
    return settings.Settings(
        kubeconfig=arguments.kubeconfig,
        write_budget_per_s=arguments.write_budget,
        metrics_host=host,
        metrics_port=port,
        leader_elect=arguments.leader_elect,
        lease_namespace=arguments.lease_namespace or _namespace(),
        lease_name=arguments.lease_name,
        identity=arguments.identity,
        log_json=arguments.log_format == "json",
        debug=arguments.log_level == "debug",
        policy=world.Policy(
            require_digest=arguments.require_digest,
            attempts=arguments.attempts,
            backoff=arguments.backoff,
            answer_deadline=arguments.answer_deadline,
            dead_node_deadline=arguments.dead_node_deadline,
        ),
    )


def _namespace() -> str:
    try:
        return POD_NAMESPACE.read_text("ascii").strip() or FALLBACK_NAMESPACE
    except (OSError, UnicodeDecodeError):
        return FALLBACK_NAMESPACE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rcm-controller",
        description="Turn Shims into work for the nodes of a cluster, in safe waves.",
        epilog=(
            "Each flag can be given as a variable: --write-budget as RCM_WRITE_BUDGET. "
            "The command `rcm-controller wait-clean` waits until nothing of ours is left."
        ),
        allow_abbrev=False,
    )
    _add_cluster(parser)
    _add_rollout(parser)
    _add_running(parser)
    return parser


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "--kubeconfig",
        default=_default("KUBECONFIG"),
        metavar="FILE",
        help="who we are and which cluster; default: the pod's own, else as kubectl",
    )
    group.add_argument(
        "--write-budget",
        type=texts.rate,
        default=_default("WRITE_BUDGET", f"{settings.WRITE_BUDGET_PER_S:g}"),
        metavar="PER_SECOND",
        help="at most so many writes a second (%(default)s)",
    )
    group.add_argument(
        "--leader-elect",
        action=argparse.BooleanOptionalAction,
        default=_flag("LEADER_ELECT", default=True, parser=parser),
        help="let one of several replicas write (yes)",
    )
    group.add_argument(
        "--lease-namespace",
        type=texts.name,
        default=_default("LEASE_NAMESPACE"),
        metavar="NAME",
        help="default: the pod's own, else kube-system",
    )
    group.add_argument(
        "--lease-name",
        type=texts.name,
        default=_default("LEASE_NAME", settings.LEASE_NAME),
        metavar="NAME",
        help="(%(default)s)",
    )
    group.add_argument(
        "--identity",
        default=_default("IDENTITY"),
        metavar="NAME",
        help="shown in the Lease, with a random part (the host's name)",
    )


def _add_rollout(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("rollouts")
    group.add_argument(
        "--require-digest",
        action=argparse.BooleanOptionalAction,
        default=_flag("REQUIRE_DIGEST", default=False, parser=parser),
        help="refuse Shims without sha256 instead of trusting the first download (no)",
    )
    group.add_argument(
        "--attempts",
        type=texts.attempts,
        default=_default("ATTEMPTS", str(_POLICY.attempts)),
        metavar="N",
        help="tries per node and digest (%(default)s)",
    )
    for flag, value, text in (
        ("backoff", _POLICY.backoff, "before the second try; doubles with each"),
        ("answer-deadline", _POLICY.answer_deadline, "a silent agent counts as failed after"),
        ("dead-node-deadline", _POLICY.dead_node_deadline, "a deletion waits so long for a node"),
    ):
        variable = flag.upper().replace("-", "_")
        group.add_argument(
            f"--{flag}",
            type=texts.span,
            default=_default(variable, texts.spelled(value)),
            metavar="SPAN",
            help=f"{text}, for example 90s, 10m, 1h (%(default)s)",
        )


def _add_running(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("health and log")
    group.add_argument(
        "--metrics-address",
        type=texts.address,
        default=_default("METRICS_ADDRESS", settings.METRICS_ADDRESS),
        metavar="HOST:PORT",
        help="of /metrics, /healthz and /readyz (%(default)s)",
    )
    group.add_argument(
        "--log-format",
        type=texts.choice("json", "console"),
        default=_default("LOG_FORMAT", "json"),
        metavar="json|console",
        help="(%(default)s)",
    )
    group.add_argument(
        "--log-level",
        type=texts.choice("info", "debug"),
        default=_default("LOG_LEVEL", "info"),
        metavar="info|debug",
        help="(%(default)s)",
    )


def _default(name: str, value: str = "") -> str:
    """Return a variable's text; argparse checks it as it checks the flag."""
    return os.environ.get(f"RCM_{name}", value)


def _flag(name: str, *, default: bool, parser: argparse.ArgumentParser) -> bool:
    text = os.environ.get(f"RCM_{name}", str(default)).lower()
    if text not in _WORDS:
        parser.error(f"RCM_{name}: {text[:64]!r}: write true or false")
    return _WORDS[text]


_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
