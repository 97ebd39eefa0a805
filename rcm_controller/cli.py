"""The command line of the controller: arguments and environment in, exit code out.

Called by `__main__`. Every flag has a variable: `--write-budget` is `RCM_WRITE_BUDGET`.
Exit codes: 0 stopped by a signal, 1 cannot run (no credentials, address taken), 2 bad arguments.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import structlog

from rcm_api.client import credentials, errors, http
from rcm_controller import clock, log, run, settings, world

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
FALLBACK_NAMESPACE = "kube-system"
"""For a run from a laptop: every cluster has it."""
MOST_WRITES_PER_S = 10_000.0
LEAST_WRITES_PER_S = 0.1
MOST_ATTEMPTS = 100
_POLICY = world.Policy()


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal comes."""
    arguments = _parser().parse_args(argv)
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
        epilog="Each flag can be given as a variable: --write-budget as RCM_WRITE_BUDGET.",
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
        type=_rate,
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
        type=_name,
        default=_default("LEASE_NAMESPACE"),
        metavar="NAME",
        help="default: the pod's own, else kube-system",
    )
    group.add_argument(
        "--lease-name",
        type=_name,
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
        type=_attempts,
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
            type=_span,
            default=_default(variable, _spelled(value)),
            metavar="SPAN",
            help=f"{text}, for example 90s, 10m, 1h (%(default)s)",
        )


def _add_running(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("health and log")
    group.add_argument(
        "--metrics-address",
        type=_address,
        default=_default("METRICS_ADDRESS", settings.METRICS_ADDRESS),
        metavar="HOST:PORT",
        help="of /metrics, /healthz and /readyz (%(default)s)",
    )
    group.add_argument(
        "--log-format",
        type=_choice("json", "console"),
        default=_default("LOG_FORMAT", "json"),
        metavar="json|console",
        help="(%(default)s)",
    )
    group.add_argument(
        "--log-level",
        type=_choice("info", "debug"),
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
_SPAN = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)(s|m|h|)", re.ASCII)
_UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours"}
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
_MOST_PORTS = 65535


def _choice(*words: str) -> Callable[[str], str]:
    """Return a check for one of a few words; `choices` would not look at a variable's."""

    def check(text: str) -> str:
        if text not in words:
            raise argparse.ArgumentTypeError(f"{text[:64]!r}: write one of: {', '.join(words)}")
        return text

    return check


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not LEAST_WRITES_PER_S <= rate <= MOST_WRITES_PER_S:
        raise argparse.ArgumentTypeError(
            f"{text[:64]!r}: write a number from {LEAST_WRITES_PER_S:g} to {MOST_WRITES_PER_S:g}"
        )
    return rate


def _attempts(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MOST_ATTEMPTS):
        raise argparse.ArgumentTypeError(
            f"{text[:64]!r}: write a whole number from 1 to {MOST_ATTEMPTS}"
        )
    return int(text)


def _span(text: str) -> timedelta:
    match = _SPAN.fullmatch(text)
    if match is None or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text[:64]!r}: write for example 90s, 10m or 1h")
    return timedelta(**{_UNITS[match[2]]: float(match[1])})


def _spelled(span: timedelta) -> str:
    minutes, seconds = divmod(span, timedelta(minutes=1))
    return f"{span.total_seconds():g}s" if seconds else f"{minutes}m"


def _name(text: str) -> str:
    if text and not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text[:64]!r} is no name of a Kubernetes object")
    return text


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    good = port.isascii() and port.isdecimal() and int(port[:9]) <= _MOST_PORTS
    if not (colon and good):
        raise argparse.ArgumentTypeError(f"{text[:64]!r}: write HOST:PORT, or :PORT for all hosts")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - asked for
