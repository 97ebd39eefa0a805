"""The command line of the agent: arguments in, exit code out.

Called by `__main__`. Exit codes are those of `errors`, listed in the README.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from rcm_agent import apply, errors, remove, report, session, settings, status
from rcm_agent.host import machine, manifests
from rcm_agent.host import open as doors
from rcm_agent.work import Work

INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""
METRICS_ADDRESS = "0.0.0.0:8081"
MOST_PORTS = 65535


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    if arguments.run is _run:
        return _in_cluster(arguments)
    machine.interrupt_once()
    tell = report.reporter(sys.stderr, progress=arguments.progress)
    try:
        arguments.run(arguments, _settings(arguments), tell)
    except errors.AgentError as error:
        tell.note("error", error.cause, kind=type(error).__name__, advice=error.advice)
        return error.exit_code
    except KeyboardInterrupt:
        tell.note("error", "interrupted: the host is on its former state")
        return INTERRUPTED
    return 0


def _apply(arguments: argparse.Namespace, chosen: settings.Settings, tell: report.Reporter) -> None:
    shims = manifests.load(arguments.file)
    with _opened(chosen, tell) as work:
        for shim in apply.apply(work, shims):
            print(f"shim/{shim.name} ready: handler {shim.handler}, {shim.proven or 'not proven'}")  # noqa: T201


def _plan(arguments: argparse.Namespace, chosen: settings.Settings, tell: report.Reporter) -> None:
    shims = manifests.load(arguments.file)
    with _opened(chosen, tell) as work:
        pending = work.memory.journal.operation
        if pending is not None:
            print(f"first: finish or undo the run that was killed at '{pending.step}'")  # noqa: T201
        sys.stdout.write(apply.explain(apply.preview(work, shims)))


def _remove(
    arguments: argparse.Namespace, chosen: settings.Settings, tell: report.Reporter
) -> None:
    with _opened(chosen, tell) as work:
        remove.remove(work, arguments.name)
    for name in arguments.name:
        print(f"shim/{name} removed")  # noqa: T201


def _status(
    arguments: argparse.Namespace, chosen: settings.Settings, tell: report.Reporter
) -> None:
    with _opened(chosen, tell) as work:
        found = status.status(work)
    if arguments.output == "json":
        json.dump(found.document(), sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        sys.stdout.write(status.render(found))


def _recover(
    _arguments: argparse.Namespace, chosen: settings.Settings, tell: report.Reporter
) -> None:
    with _opened(chosen, tell) as work:
        print(session.recover(work) or "nothing to recover")  # noqa: T201


def _run(
    _arguments: argparse.Namespace, _chosen: settings.Settings, _tell: report.Reporter
) -> None:
    """Stand for the command that ends by a signal, see `_in_cluster`."""


def _in_cluster(arguments: argparse.Namespace) -> int:
    # It takes twice the modules of a command that works alone.
    from rcm_agent.cluster import settings as cluster  # noqa: PLC0415
    from rcm_agent.cluster import start  # noqa: PLC0415

    host, port = arguments.metrics_address
    return start.start(
        cluster.Settings(
            node=arguments.node_name,
            kubeconfig=arguments.kubeconfig,
            metrics_host=host,
            metrics_port=port,
            log_json=arguments.log_format == "json",
            debug=arguments.log_level == "debug",
            host=_settings(arguments),
        )
    )


def _opened(chosen: settings.Settings, tell: report.Reporter) -> AbstractContextManager[Work]:
    where = session.locate(doors.open_host(chosen.root), chosen)
    host = doors.open_host(chosen.root, socket=where.socket)
    return session.opened(host, where, chosen=chosen, tell=tell)


def _settings(arguments: argparse.Namespace) -> settings.Settings:
    return settings.Settings(
        root=arguments.root,
        config=arguments.config,
        socket=arguments.socket,
        unit=arguments.unit,
        timeout_s=arguments.timeout,
        prove=not arguments.no_prove,
        allow_disruption=getattr(arguments, "disruption", "wait") == "allow",
        trust_on_first_use=getattr(arguments, "trust_on_first_use", False),
        allow_private=arguments.allow_private,
        ca_file=arguments.ca_file,
        mirrors=tuple(arguments.mirror),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rcm-agent",
        description="Install WebAssembly containerd shims on this host, proven and reversible.",
        epilog="Exit codes and every file that may be touched are in the README.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("apply", _apply, "make this host have what the Shims ask for"),
        ("plan", _plan, "say what apply would do and why; touch nothing"),
    ):
        command = _command(commands, name, run, text)
        command.add_argument(
            "-f",
            "--file",
            action="append",
            required=True,
            metavar="FILE",
            help="manifest, directory of manifests, or '-'; may be repeated",
        )
    command = _command(commands, "remove", _remove, "take Shims off this host")
    command.add_argument("name", nargs="+", metavar="NAME", help="metadata.name of a Shim")
    command = _command(commands, "status", _status, "say what this host has and how it is")
    command.add_argument("-o", "--output", choices=("text", "json"), default="text")
    _command(commands, "recover", _recover, "finish or undo what a killed run left")
    _add_run(commands)
    return parser


class Commands(Protocol):
    """What argparse gives for sub-commands; its own type has no public name."""

    def add_parser(self, name: str, *, help: str, description: str) -> argparse.ArgumentParser:  # noqa: A002 - argparse's own word
        """Add a command."""
        ...


Run = Callable[[argparse.Namespace, settings.Settings, report.Reporter], None]


def _command(
    commands: Commands,
    name: str,
    run: Run,
    text: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text)
    command.set_defaults(run=run)
    _add_host(command)
    _add_caution(command).add_argument(
        "--disruption",
        choices=("wait", "allow"),
        default="wait",
        help="allow: stop containers that a restart would end",
    )
    _add_downloads(command).add_argument(
        "--trust-on-first-use",
        action="store_true",
        help="accept an artifact without sha256, and remember the digest found",
    )
    command.add_argument(
        "--progress",
        choices=("auto", "terminal", "json"),
        default="auto",
        help="how to tell what happens, on stderr (auto: terminal if it is one)",
    )
    return command


def _add_host(command: argparse.ArgumentParser) -> None:
    add = command.add_argument_group("where containerd is").add_argument
    add("--root", default=_default("ROOT", "/"), metavar="DIR", help="where the host is mounted")
    add("--config", default=_default("CONFIG"), metavar="FILE", help="containerd's configuration")
    add("--socket", default=_default("SOCKET"), metavar="FILE", help="containerd's socket")
    add("--unit", default=_default("UNIT"), help="systemd unit that runs containerd")


def _add_run(commands: Commands) -> None:
    text = "serve this node of a cluster, as its NodeRuntime asks"
    command = commands.add_parser("run", help=text, description=text)
    command.set_defaults(run=_run)
    add = command.add_argument_group("cluster").add_argument
    name, address = _default("NODE_NAME"), _default("METRICS_ADDRESS", METRICS_ADDRESS)
    add("--node-name", default=name, required=not name, metavar="NAME", help="of this Node")
    add(
        "--kubeconfig",
        default=_default("KUBECONFIG"),
        metavar="FILE",
        help="which cluster, and as whom; default: the pod's own, else as kubectl",
    )
    add(
        "--metrics-address",
        type=_address,
        default=address,
        metavar="HOST:PORT",
        help="of /metrics, /healthz and /readyz (%(default)s)",
    )
    for flag, words in (("format", ("json", "console")), ("level", ("info", "debug"))):
        default = _default(f"LOG_{flag.upper()}", words[0])
        add(f"--log-{flag}", choices=words, default=default, help="(%(default)s)")
    _add_host(command)
    _add_caution(command)
    _add_downloads(command)


class Group(Protocol):
    """What argparse gives for a group of arguments; its own type has no public name."""

    def add_argument(self, name: str, **more: Any) -> argparse.Action:
        """Add an argument."""
        ...


def _add_caution(command: argparse.ArgumentParser) -> Group:
    group = command.add_argument_group("what may happen to it")
    add = group.add_argument
    add("--timeout", type=_seconds, default=30.0, metavar="SECONDS", help="for a restart (30)")
    add("--no-prove", action="store_true", help="do not start a sandbox with the handler")
    return group


def _add_downloads(command: argparse.ArgumentParser) -> Group:
    group = command.add_argument_group("downloads")
    add = group.add_argument
    add("--allow-private", action="store_true", help="download from private addresses too")
    add("--ca-file", default=_default("CA_FILE"), metavar="FILE", help="certificate authorities")
    add(
        "--mirror",
        action="append",
        type=_mirror,
        default=[],
        metavar="PREFIX=REPLACEMENT",
        help="try URLs that begin with PREFIX elsewhere first; may be repeated",
    )
    return group


def _default(name: str, value: str = "") -> str:
    return os.environ.get(f"RCM_{name}", value)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds <= 40:  # noqa: PLR2004 - see below
        raise argparse.ArgumentTypeError(
            "from 1 to 40, so that the dead man's switch (60 s) comes after it"
        )
    return seconds


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    good = port.isascii() and port.isdecimal() and int(port[:9]) <= MOST_PORTS
    if not (colon and good):
        raise argparse.ArgumentTypeError(f"{text[:64]!r}: write HOST:PORT, or :PORT for all hosts")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - asked for


def _mirror(text: str) -> tuple[str, str]:
    prefix, equals, replacement = text.partition("=")
    if not (prefix and equals and replacement):
        raise argparse.ArgumentTypeError("write PREFIX=REPLACEMENT")
    return prefix, replacement
