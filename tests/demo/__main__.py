"""The demo's command line: `python -m tests.demo cluster [--keep] | node | down`."""

import argparse
import collections.abc
import contextlib
import os
import pathlib
import shlex
import shutil
import signal
import sys
import tempfile

import docker

from tests.demo import node, story, terminal, web
from tests.testbed import cache, clusters, errors, kept, kube, labels, machine

_NODES = {"node-1": "1.7", "node-2": "2.3"}
_INTERRUPTED = 130
_LAST_LINES = "--tail=15"


def main() -> int:
    """Run the chosen demo; return its exit code."""
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        match options.command:
            case "cluster":
                machine.ensure_daemon()
                _cluster(keep=options.keep)
            case "node":
                machine.ensure_daemon()
                node.main()
            case _:
                _down()
    except KeyboardInterrupt:
        print("demo: interrupted; nothing is left behind", file=sys.stderr)
        return _INTERRUPTED
    except errors.TestbedError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    cluster = commands.add_parser("cluster", help="the product on a cluster of two nodes")
    cluster.add_argument("--keep", action="store_true", help="leave the cluster running")
    commands.add_parser("node", help="the agent alone on one node")
    commands.add_parser("down", help="remove the cluster that was left running")
    return parser.parse_args()


def _interrupt(*_: object) -> None:
    """End the demo as Ctrl-C does, once: cleaning up takes some seconds."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    print("\ndemo: interrupted; cleaning up", file=sys.stderr, flush=True)
    raise KeyboardInterrupt


def _cluster(*, keep: bool) -> None:
    with _directory(keep=keep) as directory, _all_or_nothing(keep=keep):
        options = clusters.Options(keep=keep)
        term = terminal.Terminal(directory)
        term.say("Start a cluster: a control plane and two nodes, on this machine")
        with clusters.start(directory, nodes=_NODES, options=options) as cluster:
            term.environment.update(_environment(cluster))
            marks = labels.KEPT if keep else labels.of_this_process()
            with web.serving(cluster, marks=marks, keep=keep) as url, _explained(term):
                story.Story(cluster, term, directory).run(url)
            seconds = term.elapsed_s()
            if not keep:
                term.say("Take the cluster away")
        print(f"\nThe demo took {seconds:.0f} s, and {term.elapsed_s():.0f} s with its end.")
        if keep:
            _explain_how_to_reach(directory, term.environment["KUBECONFIG"])


@contextlib.contextmanager
def _directory(*, keep: bool) -> collections.abc.Iterator[pathlib.Path]:
    if keep:
        place = _kept_directory()
        place.mkdir(parents=True, exist_ok=True)
        yield place
    else:
        with tempfile.TemporaryDirectory(prefix="rcm-demo-") as name:
            yield pathlib.Path(name)


@contextlib.contextmanager
def _all_or_nothing(*, keep: bool) -> collections.abc.Iterator[None]:
    """Remove what a failure, or Ctrl-C at any moment, would leave behind."""
    try:
        yield
    except BaseException:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if machine.daemon_answers():
            if keep:
                _remove_kept()
            _remove_own()
        raise


@contextlib.contextmanager
def _explained(term: terminal.Terminal) -> collections.abc.Iterator[None]:
    """Say what was going on when a step failed, and what the cluster looks like.

    Raises:
        NodeError: With the headline of the step that failed.
    """
    try:
        yield
    except errors.TestbedError as error:
        term.line("\ndemo: that failed; this is how things are:")
        every = ("kubectl", "get", "--all-namespaces")
        for words in (
            (*every, "shims,noderuntimes", "-o", "wide"),
            (*every, "pods", "-o", "wide"),
            ("kubectl", "logs", "-n", "rcm-system", "deployment/rcm-controller", _LAST_LINES),
            ("kubectl", "logs", "-n", "rcm-agents", "daemonset/rcm-agent", _LAST_LINES),
        ):
            with contextlib.suppress(errors.TestbedError):
                term.run(*words)
        raise errors.NodeError(f"failed at {term.title!r}: {error}") from error


def _environment(cluster: clusters.Cluster) -> dict[str, str]:
    path = f"{kube.programs()}{os.pathsep}{os.environ['PATH']}"
    return {"KUBECONFIG": str(cluster.kubeconfig), "PATH": path}


def _explain_how_to_reach(directory: pathlib.Path, kubeconfig: str) -> None:
    print(
        f"""\
The cluster goes on, with runtime-class-manager and without a Shim. To use it:

  cd {shlex.quote(str(directory))}
  export KUBECONFIG={shlex.quote(kubeconfig)}
  export PATH={shlex.quote(str(kube.programs()))}:$PATH
  kubectl apply -f {story.SHIM} && kubectl get shims --watch
  kubectl apply -f {story.HELLO}

`make demo-down` ends it."""
    )


def _down() -> None:
    if kept.directory() is None:
        print("No cluster was left running.")
        return
    if not machine.daemon_answers():
        raise errors.MachineError("no Docker daemon answers, so the nodes cannot be removed")
    _remove_kept()


def _remove_kept() -> None:
    clusters.stop_kept()
    shutil.rmtree(_kept_directory(), ignore_errors=True)


def _remove_own() -> None:
    with contextlib.closing(docker.from_env()) as client:
        labels.remove_own(client)


def _kept_directory() -> pathlib.Path:
    return cache.root() / "demo"


if __name__ == "__main__":
    sys.exit(main())
